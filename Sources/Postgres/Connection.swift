internal import CPostgres
internal import Glibc

/// One connection to a PostgreSQL server, owned by one thread or task at a time.
///
/// Calls block. A broken connection stays broken: close it and open another one.
public final class Connection {
  /// nil once closed.
  @exclusivity(unchecked) var handle: OpaquePointer?
  let notices: NoticeLog
  let string: ConnectionString
  /// Whether a pooler is between this client and the server. Each transaction may then run in another session, which
  /// other clients use too. So each transaction sets its settings, and statements have no names.
  public package(set) var isPooled: Bool
  /// The settings of the session, or of each transaction behind a pooler.
  var settings: [Setting]
  /// The session was reset. The next transaction sets its settings again.
  var lostSettings = false
  /// Behind a pooler: sets the settings of a transaction, and returns the server process that runs it.
  var localSettings = Statement("SELECT 1")
  /// The server process of the last transaction, as `localSettings` returned it.
  var lastBackend: Backend?
  /// By fingerprint of the statement and the types of its parameters.
  var prepared: [UInt64: PreparedStatement] = [:]
  var preparedGeneration = 0
  /// A COPY runs, so no other statement may.
  var copying = false
  /// The COPY runs in a transaction of its own.
  var copyOwnsTransaction = false
  /// The state of the protocol is unknown, whatever libpq reports.
  var failed = false
  var scratch = SendScratch()
  /// Slows down COPY OUT.
  public var pace: (any ReadPace)?
  /// Shows other threads how long the connection waits for the server.
  public var waiting: Waiting?

  /// A server setting; the value as in `set_config`.
  public typealias Setting = (name: String, value: String)

  /// The server versions that do not know a setting.
  private static let unknown: [String: [Range<Int>]] = [
    "transaction_timeout": [0..<170_000],
    "restrict_nonsystem_relation_kind": [0..<150_008, 160_000..<160_004],
  ]

  /// Connects, finds out whether there is a pooler, and applies `settings`. This takes one round trip after the
  /// connection.
  ///
  /// - Parameters:
  ///   - url: A libpq URL or `key=value` string. It may override the next two parameters, and the TCP defaults.
  ///   - applicationName: The name in `pg_stat_activity`.
  ///   - connectTimeoutSeconds: For all hosts together, with the look-up of names. A `connect_timeout` in the URL
  ///     replaces it, and holds for each host.
  ///   - settings: Set after the connection, since PgBouncer restricts the startup packet. A setting that is too new
  ///     for the server is left out.
  ///   - isPooled: nil if the connection is to find out.
  /// - Throws: `.connect`, or the server's error for a setting.
  public init(
    url: String, applicationName: String? = nil, connectTimeoutSeconds: Int = 5,
    settings: [Setting] = [], isPooled: Bool? = nil
  ) throws(PostgresError) {
    let string = try ConnectionString(url)
    let seconds =
      string.connectTimeoutSeconds.map { $0 * max(1, string.hosts.count) } ?? connectTimeoutSeconds
    let target = ConnectTarget(
      string: string, applicationName: applicationName,
      timeoutMillis: min(max(1, seconds), 86_400) * 1000)
    let opened = try ConnectAttempt(target).run()
    self.string = string
    self.settings = settings
    self.isPooled = isPooled ?? false
    handle = opened.handle
    notices = opened.notices
    // SET LOCAL fails for a setting that the server does not know.
    self.settings.removeAll { setting in
      Self.unknown[setting.name]?.contains { $0.contains(serverVersion) } ?? false
    }
    do throws(PostgresError) {
      if isPooled != true { try meet(mayBePooled: isPooled == nil) }
    } catch {
      close()
      throw error
    }
    if self.isPooled { localSettings = makeLocalSettings() }
  }

  deinit { close() }

  /// Idempotent. The server rolls back an open transaction.
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

  /// False if the server has ended the connection. It reads what has arrived, and sends nothing.
  public var isAlive: Bool {
    guard let handle else { return false }
    do { try noticeDeath(handle) } catch { return false }
    return true
  }

  /// 150018 is version 15.18.
  public var serverVersion: Int { handle.map { Int(PQserverVersion($0)) } ?? 0 }
  /// The server process. Behind a pooler, it is the pooler's own number, which is not a process.
  public var backendPID: Int32 { handle.map { PQbackendPID($0) } ?? 0 }

  /// The server process that runs this connection's statements.
  public struct Backend: Equatable, Sendable {
    public let pid: Int32
    /// The beginning of the transaction, in microseconds since 1970 (`pg_stat_activity.xact_start`); nil if the process
    /// serves this connection alone.
    public let transactionMicros: Int64?
  }

  /// nil behind a pooler, outside of a transaction.
  public var backend: Backend? {
    if !isPooled { return Backend(pid: backendPID, transactionMicros: nil) }
    return transactionStatus == .inTransaction ? lastBackend : nil
  }
  public var database: String { handle.flatMap { PQdb($0) }.map { String(cString: $0) } ?? "" }
  public var user: String { handle.flatMap { PQuser($0) }.map { String(cString: $0) } ?? "" }
  /// Name, address or socket directory.
  public var host: String { handle.flatMap { PQhost($0) }.map { String(cString: $0) } ?? "" }
  public var port: String { handle.flatMap { PQport($0) }.map { String(cString: $0) } ?? "" }

  public enum TransactionStatus: Sendable {
    case idle
    /// A COPY runs.
    case active
    case inTransaction
    /// The transaction has failed: the server accepts only ROLLBACK.
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

  /// Rolls back the transaction, if there is one.
  public func rollbackIfOpen() throws(PostgresError) {
    switch transactionStatus {
    case .inTransaction, .inFailedTransaction: try execute("ROLLBACK")
    case .idle, .active, .unknown: break
    }
  }
}

extension Connection {
  /// Runs one or more statements without parameters, in one transaction unless they control it themselves. Rows are
  /// discarded.
  ///
  /// Use ``begin(_:_:)`` to begin a transaction: behind a pooler, it sets the settings first.
  public func execute(_ sql: String) throws(PostgresError) {
    guard isPooled, !sql.isEmpty, transactionStatus == .idle else { return try send(sql) }
    guard !sql.hasPrefix("BEGIN") else {
      throw .usage("begin() begins a transaction, not execute()")
    }
    do throws(PostgresError) {
      try send("\(beginning(.readCommitted)); \(sql); COMMIT")
    } catch {
      try? rollbackIfOpen()
      throw error
    }
  }

  func send(_ sql: String) throws(PostgresError) {
    let handle = try idleHandle()
    try Self.requireNoZeroByte(in: sql)
    waiting?.begin(self)
    defer { waiting?.end() }
    guard let result = PQexec(handle, sql) else { throw lost(mayHaveSent: true) }
    defer { PQclear(result) }
    switch PQresultStatus(result) {
    case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: return
    case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
      throw closing(Self.copyHere)
    default: throw error(of: result)
    }
  }

  static let copyHere = "a COPY needs copyIn or copyReader"

  static func requireNoZeroByte(in sql: String) throws(PostgresError) {
    guard !sql.utf8.contains(0) else { throw .usage("the SQL has a zero byte") }
  }

  /// Closes the connection after a call that leaves the state of the protocol unknown.
  func closing(_ usage: String) -> PostgresError {
    failed = true
    close()
    return .usage(usage + "; the connection is closed")
  }

  /// The handle, if no COPY runs.
  func freeHandle() throws(PostgresError) -> OpaquePointer {
    guard let handle else { throw .closed }
    guard !copying else { throw .usage("a COPY runs on this connection") }
    return handle
  }

  /// The handle, if a command may be sent now.
  func idleHandle() throws(PostgresError) -> OpaquePointer {
    let handle = try freeHandle()
    try noticeDeath(handle)
    return handle
  }

  /// Detects that an idle connection is broken before anything is sent on it. The caller can then try again on another
  /// one.
  private func noticeDeath(_ handle: OpaquePointer) throws(PostgresError) {
    guard !isBroken else { throw lost(mayHaveSent: false) }
    // Twice: first the server's fatal notice, then the end of the stream.
    for _ in 0..<2 {
      var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
      guard poll(&descriptor, 1, 0) > 0 else { return }
      let alive = PQconsumeInput(handle)
      _ = PQisBusy(handle)  // Reads the messages: notices and notifications.
      if alive == 0 || notices.fatal != nil || isBroken { throw lost(mayHaveSent: false) }
    }
  }

  /// Marks the connection as broken. The error has the best reason that is known.
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
    let dead = severity.map(isFatal) ?? false || isBroken
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
        constraint: resultField(result, .constraint), routine: resultField(result, .routine),
        statementIndex: statementIndex, mayHaveSent: dead))
  }
}
