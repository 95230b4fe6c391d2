/// An error of a PostgreSQL server, or of the connection to it. No text of it holds a password.
///
/// It is one word wide, so that functions that may throw it stay cheap on hot paths.
public struct PostgresError: Error, Sendable {
  public enum Kind: Hashable, Sendable {
    /// No connection was made: address, network, authentication or startup.
    case connect
    /// The connection broke. `mayHaveSent` says whether the server can have received a part of the request.
    case connectionLost
    /// The server refused a statement. `sqlstate` says why. The connection stays usable.
    case server
    /// The server's bytes do not have the form of the protocol.
    case protocolViolation
    /// The call is wrong. Nothing was sent.
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
    var constraint: String?
    var routine: String?
    var statementIndex: Int?
    var mayHaveSent = false
    var isStaleStatement = false
  }

  private final class Box: Sendable {
    let facts: Facts
    init(_ facts: Facts) { self.facts = facts }
  }

  private let box: Box
  var facts: Facts { box.facts }

  init(_ facts: Facts) { box = Box(facts) }

  public var kind: Kind { facts.kind }
  /// The server's five characters; empty if the error is not the server's.
  public var sqlstate: String { facts.sqlstate }
  public var message: String { facts.message }
  public var detail: String? { facts.detail }
  public var hint: String? { facts.hint }
  public var schema: String? { facts.schema }
  public var table: String? { facts.table }
  public var constraint: String? { facts.constraint }
  /// The position in its batch of the statement that failed, from 0.
  public var statementIndex: Int? { facts.statementIndex }
  /// Whether the server can have received, and done, a part of the request. It is false for every error but a lost
  /// connection.
  public var mayHaveSent: Bool { facts.mayHaveSent }

  /// Whether a prepared statement was missing or had changed. Send the same request again: it is prepared again.
  public var isStaleStatement: Bool { facts.isStaleStatement }

  var asStaleStatement: PostgresError {
    var stale = facts
    stale.isStaleStatement = true
    return PostgresError(stale)
  }

  /// The same error in a batch without its first `count` statements, which the caller did not send.
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
  /// Whether a row-level policy would hide rows while `row_security` is off. Every missing privilege has the same
  /// SQLSTATE, and the message may be in any language, so the server's routine decides.
  public var isHiddenByPolicy: Bool { sqlstate == "42501" && facts.routine == "check_enable_rls" }

  /// Whether a function in the database raised the error. Its SQLSTATE may be any, so it does not tell whether the
  /// server or the connection failed.
  public var isRaised: Bool {
    kind == .server && (facts.routine == "exec_stmt_raise" || sqlstate.hasPrefix("08"))
  }

  public static func protocolViolation(_ message: String) -> PostgresError {
    PostgresError(Facts(kind: .protocolViolation, sqlstate: "", message: message))
  }

  public static func usage(_ message: String) -> PostgresError {
    PostgresError(Facts(kind: .usage, sqlstate: "", message: message))
  }

  static func connect(_ message: String, sqlstate: String = "") -> PostgresError {
    PostgresError(Facts(kind: .connect, sqlstate: sqlstate, message: message))
  }

  static var closed: PostgresError { .lost("the connection is closed", mayHaveSent: false) }

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
