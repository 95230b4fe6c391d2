internal import CPostgres
internal import Glibc

/// One connection to a PostgreSQL server, owned by one thread or task at a time.
///
/// Calls block. A connection that broke stays broken: throw it away and open another.
public final class Connection {
  /// nil once closed.
  @exclusivity(unchecked) var handle: OpaquePointer?
  let notices: NoticeLog
  let string: ConnectionString
  let preparesStatements: Bool
  /// By fingerprint of the statement and the types of its parameters.
  var prepared: [UInt64: PreparedStatement] = [:]
  var preparedGeneration = 0
  /// A COPY is under way, and nothing else may be.
  var copying = false
  /// Set when the state on the wire is unknown, whatever libpq thinks.
  var failed = false
  var scratch = SendScratch()
  /// What its COPY OUT is slowed down by.
  public var pace: (any ReadPace)?

  /// Connects, and applies `settings` in one round trip.
  ///
  /// - Parameters:
  ///   - url: A libpq URL or `key=value` string; several hosts and `target_session_attrs` too.
  ///     It may override what follows, and the TCP keepalive and timeout defaults.
  ///   - applicationName: Shown in `pg_stat_activity` unless the URL names another.
  ///   - connectTimeoutSeconds: For all hosts together, looking up names included. A
  ///     `connect_timeout` in the URL goes before it, and is then for each host.
  ///   - settings: Server settings for the session, set after connecting rather than in the
  ///     startup packet, which PgBouncer restricts. Values as in `set_config`.
  ///   - preparesStatements: False behind a pooler that cannot keep prepared statements.
  /// - Throws: `.connect`, or the server's error for a setting.
  public init(
    url: String, applicationName: String? = nil, connectTimeoutSeconds: Int = 5,
    settings: [(name: String, value: String)] = [], preparesStatements: Bool = true
  ) throws(PostgresError) {
    let string = try ConnectionString(url)
    let seconds =
      string.connectTimeoutSeconds.map { $0 * max(1, string.hosts.count) } ?? connectTimeoutSeconds
    let target = ConnectTarget(
      string: string, applicationName: applicationName,
      timeoutMillis: min(max(1, seconds), 86_400) * 1000)
    let opened = try ConnectAttempt(target).run()
    self.string = string
    self.preparesStatements = preparesStatements
    handle = opened.handle
    notices = opened.notices
    if !settings.isEmpty { try apply(settings) }
  }

  deinit { close() }

  /// Idempotent. An open transaction is rolled back by the server.
  public func close() {
    guard let handle else { return }
    PQfinish(handle)
    self.handle = nil
    copying = false
  }

  public var isBroken: Bool {
    guard let handle else { return true }
    return failed || PQstatus(handle) != CONNECTION_OK
  }

  /// As a number: 150018 is 15.18.
  public var serverVersion: Int { handle.map { Int(PQserverVersion($0)) } ?? 0 }
  public var backendPID: Int32 { handle.map { PQbackendPID($0) } ?? 0 }
  public var database: String { handle.flatMap { PQdb($0) }.map { String(cString: $0) } ?? "" }
  public var user: String { handle.flatMap { PQuser($0) }.map { String(cString: $0) } ?? "" }
  /// Name, address or socket directory.
  public var host: String { handle.flatMap { PQhost($0) }.map { String(cString: $0) } ?? "" }
  public var port: String { handle.flatMap { PQport($0) }.map { String(cString: $0) } ?? "" }

  public enum TransactionStatus: Sendable {
    case idle
    /// A COPY is under way.
    case active
    case inTransaction
    /// In a transaction that an error has ended: nothing but ROLLBACK is accepted.
    case inFailedTransaction
    case unknown
  }

  public var transactionStatus: TransactionStatus {
    guard let handle, !failed else { return .unknown }
    switch PQtransactionStatus(handle) {
    case PQTRANS_IDLE: return .idle
    case PQTRANS_ACTIVE: return .active
    case PQTRANS_INTRANS: return .inTransaction
    case PQTRANS_INERROR: return .inFailedTransaction
    default: return .unknown
    }
  }

  /// Notices since the last call, the newest 64, oldest first.
  public func drainNotices() -> [String] { notices.drain() }

  /// Leaves a transaction behind, where there is one; else costs nothing.
  public func rollbackIfOpen() throws(PostgresError) {
    switch transactionStatus {
    case .inTransaction, .inFailedTransaction: try execute("ROLLBACK")
    case .idle, .active, .unknown: break
    }
  }

  private func apply(_ settings: [(name: String, value: String)]) throws(PostgresError) {
    var sql = "SELECT "
    for (index, setting) in settings.enumerated() {
      if index > 0 { sql += ", " }
      sql += "pg_catalog.set_config(\(quoteLiteral(setting.name)), "
      sql += "\(quoteLiteral(setting.value)), false)"
    }
    do {
      try execute(sql)
    } catch {
      close()
      throw error
    }
  }
}

extension Connection {
  /// Runs SQL by the simple protocol: one or more statements without parameters, in one
  /// transaction unless they say otherwise. For DDL and settings; rows are thrown away.
  public func execute(_ sql: String) throws(PostgresError) {
    let handle = try idleHandle()
    guard !sql.utf8.contains(0) else { throw .usage("a zero byte in the SQL") }
    guard let result = PQexec(handle, sql) else { throw lost(mayHaveSent: true) }
    defer { PQclear(result) }
    switch PQresultStatus(result) {
    case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: return
    case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
      failed = true
      close()
      throw .usage("COPY needs copyIn or copyOut; the connection is closed")
    default: throw error(of: result)
    }
  }

  /// The handle, if a command may be sent now.
  func idleHandle() throws(PostgresError) -> OpaquePointer {
    guard let handle else { throw .lost("the connection is closed", mayHaveSent: false) }
    guard !copying else { throw .usage("a COPY is under way on this connection") }
    try noticeDeath(handle)
    return handle
  }

  /// A connection that died while idle is found out before anything is sent on it: the caller
  /// may then simply try again elsewhere.
  private func noticeDeath(_ handle: OpaquePointer) throws(PostgresError) {
    guard !isBroken else { throw lost(mayHaveSent: false) }
    // Twice: the farewell first, then the end of the stream.
    for _ in 0..<2 {
      var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
      guard poll(&descriptor, 1, 0) > 0 else { return }
      let alive = PQconsumeInput(handle)
      _ = PQisBusy(handle)  // Reads the messages: notices, notifications, a farewell.
      if alive == 0 || notices.fatal != nil || isBroken { throw lost(mayHaveSent: false) }
    }
  }

  /// The connection is gone; says so with the best reason known, and keeps it so.
  func lost(mayHaveSent: Bool) -> PostgresError {
    failed = true
    if let fatal = notices.fatal {
      return .lost(
        string.redacted(fatal.message), sqlstate: fatal.sqlstate, mayHaveSent: mayHaveSent)
    }
    let message = handle.flatMap { PQerrorMessage($0) }.map { trimmed(String(cString: $0)) } ?? ""
    return .lost(
      message.isEmpty ? "the connection to the server was lost" : string.redacted(message),
      mayHaveSent: mayHaveSent)
  }

  /// The error in a result. FATAL means that the server has ended the connection.
  func error(of result: OpaquePointer, statementIndex: Int? = nil) -> PostgresError {
    let severity = resultField(result, .severity)
    let sqlstate = resultField(result, .sqlstate) ?? ""
    let dead = severity == "FATAL" || severity == "PANIC" || isBroken
    if dead { failed = true }
    let message =
      resultField(result, .message)
      ?? PQresultErrorMessage(result).map { trimmed(String(cString: $0)) }
      ?? "an error without a message"
    return PostgresError(
      PostgresError.Facts(
        kind: dead ? .connectionLost : .server, sqlstate: sqlstate,
        message: string.redacted(message),
        detail: resultField(result, .detail), hint: resultField(result, .hint),
        schema: resultField(result, .schema), table: resultField(result, .table),
        column: resultField(result, .column), constraint: resultField(result, .constraint),
        context: resultField(result, .context), statementIndex: statementIndex, mayHaveSent: dead))
  }
}
