/// SQL text that a connection prepares when it first meets it.
///
/// Write explicit casts (`$1::bigint`). Make one `static let` of each: equal texts share a name.
public struct Statement: Hashable, Sendable {
  public let sql: String
  /// FNV-1a of the text: the statement's identity on a connection, and most of its server name.
  let fingerprint: UInt64
  let isBegin: Bool

  public init(_ sql: String) {
    self.sql = sql
    isBegin = sql.hasPrefix("BEGIN")
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in sql.utf8 {
      hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
    }
    fingerprint = hash
  }

  public static func == (left: Statement, right: Statement) -> Bool {
    left.fingerprint == right.fingerprint && left.sql == right.sql
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(fingerprint)
  }
}

extension Statement {
  public static let begin = Statement("BEGIN \(TransactionMode.readCommitted.rawValue)")
  public static let beginSnapshot = Statement("BEGIN \(TransactionMode.snapshot.rawValue)")
  public static let commit = Statement("COMMIT")
  public static let rollback = Statement("ROLLBACK")
}
