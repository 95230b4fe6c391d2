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
  /// Whether a pooler stands between: each transaction may run on another session of the server, which others use too.
  /// Nothing is left behind on it then: settings go with each transaction, and statements have no names.
  public package(set) var isPooled: Bool
  /// What the session, or behind a pooler each transaction, is set to.
  var settings: [Setting]
  /// Something else has reset the session; its settings are made again before the next transaction.
  var lostSettings = false
  /// Sets what a transaction is set to, and says where it runs; only behind a pooler.
  var localSettings = Statement("SELECT 1")
  /// Where the last transaction ran, as `localSettings` said.
  var lastBackend: Backend?
  /// By fingerprint of the statement and the types of its parameters.
  var prepared: [UInt64: PreparedStatement] = [:]
  var preparedGeneration = 0
  /// A COPY is under way, and nothing else may be.
  var copying = false
  /// The COPY runs in a transaction that was begun for it.
  var copyOwnsTransaction = false
  /// Set when the state on the wire is unknown, whatever libpq thinks.
  var failed = false
  var scratch = SendScratch()
  /// What its COPY OUT is slowed down by.
  public var pace: (any ReadPace)?
  /// Where it notes that it waits for the server.
  public var waiting: Waiting?

  /// A server setting; the value as in `set_config`.
  public typealias Setting = (name: String, value: String)

  /// The versions of servers that do not know a setting.
  private static let unknown: [String: [Range<Int>]] = [
    "transaction_timeout": [0..<170_000],
    "restrict_nonsystem_relation_kind": [0..<150_008, 160_000..<160_004],
  ]

  /// Connects, finds out whether a pooler stands between, and applies `settings`: one round trip after connecting.
  ///
  /// - Parameters:
  ///   - url: A libpq URL or `key=value` string; several hosts and `target_session_attrs` too.
  ///     It may override what follows, and the TCP keepalive and timeout defaults.
  ///   - applicationName: Shown in `pg_stat_activity` unless the URL names another.
  ///   - connectTimeoutSeconds: For all hosts together, looking up names included. A
  ///     `connect_timeout` in the URL goes before it, and is then for each host.
  ///   - settings: Set after connecting rather than in the startup packet, which PgBouncer restricts. A setting that the
  ///     server does not know, being older, is left out.
  ///   - isPooled: nil: it is found out.
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
    // SET LOCAL cannot ask whether the server knows a setting.
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

  /// False once the server is known to have ended the connection: looks at what has arrived, and asks nothing.
  public var isAlive: Bool {
    guard let handle else { return false }
    do { try noticeDeath(handle) } catch { return false }
    return true
  }

  /// As a number: 150018 is 15.18.
  public var serverVersion: Int { handle.map { Int(PQserverVersion($0)) } ?? 0 }
  /// As the server, or the pooler, said when it connected: a pooler's number is no process.
  public var backendPID: Int32 { handle.map { PQbackendPID($0) } ?? 0 }

  /// The server process that runs what is asked.
  public struct Backend: Equatable, Sendable {
    public let pid: Int32
    /// When the transaction began, in microseconds since 1970, as `pg_stat_activity.xact_start` has it; nil where the
    /// process serves this connection alone.
    public let transactionMicros: Int64?
  }

  /// nil where it is not known: behind a pooler, outside of a transaction.
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
}

extension Connection {
  /// Runs SQL by the simple protocol: one or more statements without parameters, in one
  /// transaction unless they say otherwise. For DDL and settings; rows are thrown away.
  ///
  /// A transaction is begun by ``begin(_:_:)``: behind a pooler its settings come first.
  public func execute(_ sql: String) throws(PostgresError) {
    guard isPooled, !sql.isEmpty, transactionStatus == .idle else { return try send(sql) }
    guard !sql.hasPrefix("BEGIN") else { throw .usage("a transaction is begun by begin()") }
    do throws(PostgresError) {
      try send("\(beginning(.readCommitted)); \(sql); COMMIT")
    } catch {
      try? rollbackIfOpen()
      throw error
    }
  }

  func send(_ sql: String) throws(PostgresError) {
    let handle = try idleHandle()
    guard !sql.utf8.contains(0) else { throw .usage("a zero byte in the SQL") }
    waiting?.begin(self)
    defer { waiting?.end() }
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
        context: resultField(result, .context), routine: resultField(result, .routine),
        statementIndex: statementIndex, mayHaveSent: dead))
  }
}
