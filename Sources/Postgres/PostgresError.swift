/// What went wrong between us and a PostgreSQL server.
///
/// One word wide, so that functions that may throw it stay cheap on hot paths: the facts lie in
/// shared, immutable storage. No text of it ever holds a password.
public struct PostgresError: Error, Sendable {
  public enum Kind: Hashable, Sendable {
    /// No connection came about: address, network, authentication or startup.
    case connect
    /// The connection broke. `mayHaveSent` tells whether the server can have seen anything of
    /// what was asked.
    case connectionLost
    /// The server refused a statement; `sqlstate` says why. The connection stays usable.
    case server
    /// Bytes that do not have the promised form.
    case protocolViolation
    /// The caller asked for something that cannot be; nothing was sent.
    case usage
  }

  struct Facts: Sendable {
    var kind: Kind
    var sqlstate: String
    var message: String
    var detail: String?
    var hint: String?
    var schema: String?
    var table: String?
    var column: String?
    var constraint: String?
    var context: String?
    var routine: String?
    var statementIndex: Int?
    var mayHaveSent = false
    var isStaleStatement = false
  }

  /// An error is handed on at every call: it is one word.
  private final class Box: Sendable {
    let facts: Facts
    init(_ facts: Facts) { self.facts = facts }
  }

  private let box: Box
  var facts: Facts { box.facts }

  init(_ facts: Facts) { box = Box(facts) }

  public var kind: Kind { facts.kind }
  /// Five characters as the server sent them; empty where no server spoke.
  public var sqlstate: String { facts.sqlstate }
  public var message: String { facts.message }
  public var detail: String? { facts.detail }
  public var hint: String? { facts.hint }
  public var schema: String? { facts.schema }
  public var table: String? { facts.table }
  public var column: String? { facts.column }
  public var constraint: String? { facts.constraint }
  /// The server's call stack (PL/pgSQL lines and the like), for logs.
  public var context: String? { facts.context }
  /// Position in the batch of the statement that failed, where there was a batch.
  public var statementIndex: Int? { facts.statementIndex }
  /// Whether the server can have received, and so can have done, any of what was asked.
  /// Only a lost connection leaves that open; false means that nothing was handed to the network.
  public var mayHaveSent: Bool { facts.mayHaveSent }

  /// A prepared statement was gone, or no longer what it was: nothing is wrong with what was asked, and tried again it
  /// is prepared anew.
  public var isStaleStatement: Bool { facts.isStaleStatement }

  var asStaleStatement: PostgresError {
    var stale = facts
    stale.isStaleStatement = true
    return PostgresError(stale)
  }

  /// As the caller counts, who did not send so many statements at the beginning.
  func earlier(by count: Int) -> PostgresError {
    var earlier = facts
    earlier.statementIndex = statementIndex.flatMap { $0 < count ? nil : $0 - count }
    return PostgresError(earlier)
  }

  public var connectionLost: Bool { kind == .connectionLost }
  public var isSerializationFailure: Bool { sqlstate == "40001" }
  public var isDeadlock: Bool { sqlstate == "40P01" }
  public var isUniqueViolation: Bool { sqlstate == "23505" }
  public var isForeignKeyViolation: Bool { sqlstate == "23503" }
  public var isLockTimeout: Bool { sqlstate == "55P03" }
  /// Cancelled by request or by `statement_timeout`.
  public var isQueryCanceled: Bool { sqlstate == "57014" }
  /// A row-level policy would hide rows, where `row_security` is off. It has the SQLSTATE of every missing right, and its
  /// message may be in any language: the server's routine tells it.
  public var isHiddenByPolicy: Bool { sqlstate == "42501" && facts.routine == "check_enable_rls" }

  /// Code in the database raised it, which may give it any SQLSTATE: it says nothing of the server or the connection.
  public var isRaised: Bool {
    kind == .server && (facts.routine == "exec_stmt_raise" || sqlstate.hasPrefix("08"))
  }

  /// For a violated promise of the wire format.
  public static func protocolViolation(_ message: String) -> PostgresError {
    PostgresError(Facts(kind: .protocolViolation, sqlstate: "", message: message))
  }

  /// For a call that cannot be right.
  public static func usage(_ message: String) -> PostgresError {
    PostgresError(Facts(kind: .usage, sqlstate: "", message: message))
  }

  static func connect(_ message: String, sqlstate: String = "") -> PostgresError {
    PostgresError(Facts(kind: .connect, sqlstate: sqlstate, message: message))
  }

  static func lost(_ message: String, sqlstate: String = "", mayHaveSent: Bool) -> PostgresError {
    PostgresError(
      Facts(
        kind: .connectionLost, sqlstate: sqlstate, message: message, mayHaveSent: mayHaveSent))
  }
}

extension PostgresError: CustomStringConvertible {
  public var description: String {
    var text = sqlstate.isEmpty ? message : "\(message) (SQLSTATE \(sqlstate))"
    if let detail { text += "; \(detail)" }
    return text
  }
}
