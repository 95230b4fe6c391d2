internal import Glibc
public import Ledger
public import Postgres

/// A session with a ledger's database. It has one connection, and opens it again when it broke.
///
/// One thread or task owns it at a time.
public final class Session {
  public struct Target: Sendable {
    public var url: String
    public var application: String
    public var connectTimeoutMillis: Int
    /// The archived part of the log; nil if no store is available.
    public var archivedLog: (any ArchivedLog)?
    /// Slows reading down; nil: reads at full speed.
    public var pace: (any ReadPace)?
    /// Watches the lock waits of all sessions of this target.
    public var waits: WaitWatch?

    public init(url: String, application: String = "opsledger", connectTimeoutMillis: Int = 5000) {
      self.url = url
      self.application = application
      self.connectTimeoutMillis = connectTimeoutMillis
    }
  }

  public let target: Target
  /// Whether the session goes through a pooler: no notification arrives, and a connection keeps no state.
  public private(set) var isPooled = false
  /// How often to try a command that loses a race or its connection.
  public var attemptsMax = 12
  /// Tells the person at the command line what the session waits for.
  public var tell: (String) -> Void = { _ in }
  private var open: Connection?
  private let waiting: Waiting?
  /// The channel that the session listens to, also after it has reconnected.
  private var channel: String?
  private var settings = Session.settings
  /// UPDATE statements by their table and columns.
  var updates: [UpdateShape: Statement] = [:]
  /// Single-statement appends by their tables.
  var freshAppends: [FreshShape: Statement] = [:]

  /// Connects.
  ///
  /// - Throws: `OPS_001` if the database cannot be reached.
  public init(_ target: Target) throws(OpsError) {
    self.target = target
    waiting = target.waits?.add()
    _ = try connect()
  }

  /// The settings of every connection. Plans are generic, because a plan that was made on an empty table would stay a
  /// sequential scan. With `row_security` off, a row-level policy is an error and does not hide rows.
  private static let settings: [Connection.Setting] = [
    ("plan_cache_mode", "force_generic_plan"), ("row_security", "off"), ("TimeZone", "UTC"),
    ("search_path", "pg_catalog, pg_temp"), ("lock_timeout", "10s"), ("jit", "off"),
    ("client_min_messages", "warning"), ("max_parallel_workers_per_gather", "0"),
    ("synchronize_seqscans", "off"), ("idle_in_transaction_session_timeout", "5min"),
    ("default_transaction_isolation", "read committed"), ("IntervalStyle", "iso_8601"),
    ("default_transaction_read_only", "off"), ("statement_timeout", "0"),
    ("transaction_timeout", "0"), ("extra_float_digits", "1"),
    ("standard_conforming_strings", "on"), ("quote_all_identifiers", "off"), ("array_nulls", "on"),
    ("transform_null_equals", "off"), ("exit_on_error", "off"), ("default_tablespace", ""),
    ("temp_tablespaces", ""), ("default_table_access_method", "heap"), ("DateStyle", "ISO, MDY"),
    ("bytea_output", "hex"), ("restrict_nonsystem_relation_kind", ""),
  ]

  private func connect() throws(OpsError) -> Connection {
    do {
      let connection = try Connection(
        url: target.url, applicationName: target.application,
        connectTimeoutSeconds: max(1, (target.connectTimeoutMillis + 999) / 1000),
        settings: settings)
      // A pace needs a second connection beside the reader's, which a small pool may not have.
      if !connection.isPooled { connection.pace = target.pace }
      connection.waiting = waiting
      isPooled = connection.isPooled
      if let channel, !isPooled { try connection.listen(channel) }
      open = connection
      return connection
    } catch {
      throw OpsError(database: error)
    }
  }

  /// The connection; a new one if it broke, or if the server ended it while it was idle.
  public func connection() throws(OpsError) -> Connection {
    if let open, !open.isBroken {
      // Whoever is in a transaction must learn that the transaction is lost.
      if open.transactionStatus != .idle || open.isAlive { return open }
    }
    open = nil
    return try connect()
  }

  /// Avoids sequential scans where there is an index. A plan that was made on an empty table would otherwise read the
  /// whole table for each batch until autovacuum has analyzed it.
  public func preferIndexes() { set("enable_seqscan", to: "off") }

  /// Waits at most two seconds for a lock, for commands that only look: they report the lock and continue.
  public func hurry() { set("lock_timeout", to: "2s") }

  private func set(_ name: String, to value: String) {
    settings.removeAll { $0.name == name }
    settings.append((name, value))
    // A connection that cannot be set now gets the setting when it is opened again.
    if let open, !open.isBroken { try? open.set(name, to: value) }
  }

  /// Listens to a channel from now on; not through a pooler, where no notification would arrive. See
  /// ``Postgres/Connection/waitForNotifications(timeoutMillis:)``.
  public func listen(to channel: String) throws(OpsError) {
    self.channel = channel
    let connection = try connection()
    guard !isPooled else { return }
    try onDatabase { () throws(PostgresError) in try connection.listen(channel) }
  }

  /// Waits for a notification.
  ///
  /// - Returns: Whether one may have arrived before the timeout.
  public func hears(withinMillis timeout: Int) throws(OpsError) -> Bool {
    let connection = try connection()
    guard !isPooled else {
      usleep(UInt32(clamping: max(0, timeout)) * 1000)
      return false
    }
    do throws(PostgresError) {
      return !(try connection.waitForNotifications(timeoutMillis: timeout)).isEmpty
    } catch {
      guard error.connectionLost else { throw OpsError(database: error) }
      // The server ended the idle connection. A notification may have been lost with it.
      _ = try self.connection()
      return true
    }
  }

  public func ping() throws(OpsError) { _ = try query(Statement("SELECT 1")) }

  /// Closes the connection; the next use opens another.
  public func drop() {
    open?.close()
    open = nil
  }

  /// Runs a statement that may run twice: if the connection breaks, it is tried again, like a command.
  public func readBack(
    _ statement: Statement, _ parameters: Parameters = Parameters()
  ) throws(OpsError) -> Rows {
    try readBack(all: [(statement, parameters)])[0]
  }

  /// Runs several such statements in one round trip and one transaction.
  public func readBack(all statements: [(Statement, Parameters)]) throws(OpsError) -> [Rows] {
    for attempt in 1..<max(attemptsMax, 2) {
      do throws(OpsError) { return try query(all: statements) } catch {
        guard error.code == .databaseUnreachable else { throw error }
        pause(attempt)
      }
    }
    return try query(all: statements)
  }

  /// Runs several statements outside of a command, in one round trip and one transaction.
  public func query(all statements: [(Statement, Parameters)]) throws(OpsError) -> [Rows] {
    let connection = try connection()
    return try onDatabase { () throws(PostgresError) in try connection.pipeline(statements) }
  }

  public func query(
    _ statement: Statement, _ parameters: Parameters = Parameters()
  ) throws(OpsError) -> Rows {
    let connection = try connection()
    return try onDatabase { () throws(PostgresError) in
      try connection.query(statement, parameters)
    }
  }

  func number(
    _ statement: Statement, _ parameters: Parameters = Parameters()
  ) throws(OpsError) -> Int64 {
    let rows = try query(statement, parameters)
    return try onDatabase { () throws(PostgresError) in try rows.int8(0, 0) }
  }

  func boolean(
    _ statement: Statement, _ parameters: Parameters = Parameters()
  ) throws(OpsError) -> Bool {
    let rows = try query(statement, parameters)
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }
}

extension OpsError {
  public init(database error: PostgresError) {
    // An error of an SQL function of opsledger begins with its OPS code.
    let state = Cause.database(DatabaseFault(sqlstate: error.sqlstate))
    if let code = Code(rawValue: String(error.message.prefix(7))),
      error.message.dropFirst(7).hasPrefix(": "), code != .databaseUnreachable
    {
      self.init(code, String(error.message.dropFirst(9)), hint: error.hint, cause: state)
      return
    }
    let (code, message, hint): (Code, String, String)
    switch error.sqlstate {
    case "2200H":
      (code, message) = (.schemaMismatch, "a counter of the ledger has no numbers left")
      hint = "see `opsledger doctor`"
    case "42P01", "3F000", "42883", "42703":
      (code, message) = (.schemaMismatch, "the database has no ledger that this release can use")
      hint = "apply the schema with `opsledger init`"
    case "42501" where error.isHiddenByPolicy:
      (code, message) = (.notAllowed, "a row-level policy would hide rows")
      hint =
        "ALTER TABLE … NO FORCE ROW LEVEL SECURITY exempts the table's owner; "
        + "the policy stays in force for all other roles"
    case "42501":
      (code, message) = (.notAllowed, "the database login may not do this")
      hint = "the engine's login must be a member of role opsledger_engine"
    case "40001", "40P01":
      (code, message) = (.conflict, "other transactions were faster at each attempt")
      hint = "try again"
    case "55P03":
      (code, message) = (.conflict, "another transaction holds a lock")
      hint = "pg_blocking_pids() and pg_stat_activity show which; try again when it has ended"
    default:
      let (code, message, hint) = Self.byClass(error)
      self.init(code, message, hint: hint, cause: Self.cause(error))
      return
    }
    self.init(code, "\(message): \(error.message)", hint: hint, cause: state)
  }

  /// A connection that broke without a message gets SQLSTATE 08006.
  private static func cause(_ error: PostgresError) -> Cause? {
    if error.sqlstate.isEmpty {
      return error.connectionLost ? .database(DatabaseFault(sqlstate: "08006")) : nil
    }
    return .database(
      DatabaseFault(
        sqlstate: error.sqlstate, message: error.message, constraint: error.constraint,
        table: error.table))
  }

  /// - Source: PostgreSQL manual, appendix A: the first two characters of a SQLSTATE are its class.
  private static func byClass(_ error: PostgresError) -> (Code, String, hint: String?) {
    if error.isRaised, ["08", "25", "53", "57", "58", "XX"].contains(error.sqlstate.prefix(2)) {
      return (.conflict, "the database refuses a row: \(error.message)", error.hint)
    }
    switch error.sqlstate.prefix(2) {
    case "23":
      return (
        .conflict, "the database refuses a row: \(error.message)",
        error.constraint.map { "see constraint \($0) of \(error.table ?? "the table")" }
      )
    case "22": return (.badInput, "the database refuses a value: \(error.message)", nil)
    case "42":
      return (
        .schemaMismatch, "the database's schema does not fit this release: \(error.message)",
        error.sqlstate == "42P07" || error.sqlstate == "42710"
          ? "an object of that name was there before; give the ledger a database of its own" : nil
      )
    case "55":
      return (.conflict, "the database refuses the statement: \(error.message)", error.hint)
    case "53":
      let hints = [
        "53100": "the server's disk is full", "53200": "the server is out of memory",
        "53300": "raise max_connections, or put a pooler before the server",
      ]
      return (.databaseUnreachable, "\(error)", hints[error.sqlstate])
    case "57":
      let hints = [
        "57014":
          "somebody cancelled the statement (pg_cancel_backend), or a pooler did (query_timeout)",
        "57P05": "the server's idle_session_timeout ended the session",
      ]
      return (
        .databaseUnreachable, "\(error)",
        hints[error.sqlstate] ?? "the server was shut down, or somebody ended the session"
      )
    case "58", "XX":
      return (
        .databaseUnreachable, "\(error)",
        "if the server's programs were replaced while it runs, restart it; the private PostgreSQL with "
          + "`opsledger db stop` and `opsledger db start`"
      )
    // A trigger may raise any other state; 08 and 25 are faults of the connection and the transaction.
    case let group where error.kind == .server && !["08", "25"].contains(group):
      return (.conflict, "the database refuses a row: \(error.message)", error.hint)
    default:
      return (
        .databaseUnreachable, "\(error)",
        error.kind == .connect ? "is the server running, and is its URL right?" : nil
      )
    }
  }
}

/// Runs `body`, and turns an error of the database into an ``OpsError``.
package func onDatabase<R>(_ body: () throws(PostgresError) -> R) throws(OpsError) -> R {
  do { return try body() } catch { throw OpsError(database: error) }
}
