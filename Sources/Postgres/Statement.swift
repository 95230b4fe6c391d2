/// SQL text that a connection prepares at its first use. Give each parameter an explicit cast (`$1::bigint`).
public struct Statement: Hashable, Sendable {
  public let sql: String
  /// FNV-1a of the text. A part of the statement's name on the server.
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
