internal import Glibc
public import Ledger
public import Postgres

/// A session with the database of a ledger: one connection, opened again where it broke.
///
/// It is owned by one thread or task at a time.
public final class Session {
  public struct Target: Sendable {
    public var url: String
    public var application: String
    public var connectTimeoutMillis: Int
    /// What has left the database, where a store is at hand.
    public var archivedLog: (any ArchivedLog)?
    /// What slows its reading down.
    public var pace: (any ReadPace)?
    /// Watches the waits of all sessions of this target.
    public var waits: WaitWatch?

    public init(url: String, application: String = "opsledger", connectTimeoutMillis: Int = 5000) {
      self.url = url
      self.application = application
      self.connectTimeoutMillis = connectTimeoutMillis
    }
  }

  public let target: Target
  /// Whether a pooler stands between: what is sent to waiting sessions does not arrive, and nothing is kept on one.
  public private(set) var isPooled = false
  /// How often a command is tried that lost a race or its connection.
  public var attemptsMax = 12
  /// Told, for the person at the command line, what is waited for.
  public var tell: (String) -> Void = { _ in }
  private var open: Connection?
  private let waiting: Waiting?
  /// A channel that it listens to, on whichever connection it has.
  private var channel: String?
  /// What its connections are set to.
  private var settings = Session.settings
  /// UPDATE statements by table and the columns that they set.
  var updates: [UpdateShape: Statement] = [:]
  /// Single-statement appends by the tables that they write.
  var freshAppends: [FreshShape: Statement] = [:]

  /// Connects.
  ///
  /// - Throws: `OPS_001` where the database is out of reach.
  public init(_ target: Target) throws(OpsError) {
    self.target = target
    waiting = target.waits?.add()
    _ = try connect()
  }

  /// What every connection of ours is set to. Plans are generic, since one made on an empty table
  /// would stay a sequential scan; row-level policies fail loudly instead of hiding rows.
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
      // To look whether others record takes a second connection while one reads, and a pool may have no more.
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

  /// The connection, opened again where it broke, or was ended while nobody used it.
  public func connection() throws(OpsError) -> Connection {
    if let open, !open.isBroken {
      // Who is in a transaction must learn that it is lost.
      if open.transactionStatus != .idle || open.isAlive { return open }
    }
    open = nil
    return try connect()
  }

  /// Plans without sequential scans wherever there is an index: a plan that was made on an empty table
  /// would else stay one until autovacuum has looked at the table, and read all of it for each batch.
  public func preferIndexes() {
    settings.append(("enable_seqscan", "off"))
    // One that cannot be asked now is told when it is opened again.
    if let open, !open.isBroken { try? open.set("enable_seqscan", to: "off") }
  }

  /// Waits no longer than two seconds for a lock: who only looks says what is in the way, and goes on.
  public func hurry() {
    settings.removeAll { $0.name == "lock_timeout" }
    settings.append(("lock_timeout", "2s"))
    if let open, !open.isBroken { try? open.set("lock_timeout", to: "2s") }
  }

  /// Listens to a channel from now on, but behind a pooler, where nothing would be heard; see
  /// ``Postgres/Connection/waitForNotifications(timeoutMillis:)``.
  public func listen(to channel: String) throws(OpsError) {
    self.channel = channel
    let connection = try connection()
    guard !isPooled else { return }
    try onDatabase { () throws(PostgresError) in try connection.listen(channel) }
  }

  /// Waits until the channel says something, or the time is over.
  ///
  /// - Returns: Whether it did.
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
      // It was ended while nothing was asked of it, as one that is idle for long is. What was said meanwhile is
      // not known.
      _ = try self.connection()
      return true
    }
  }

  /// Asks whether the database answers.
  public func ping() throws(OpsError) { _ = try query(Statement("SELECT 1")) }

  /// Gives up the connection; the next use opens another.
  public func drop() {
    open?.close()
    open = nil
  }

  /// One statement that may run twice: tried again where the connection breaks, as a command itself is.
  public func readBack(
    _ statement: Statement, _ parameters: Parameters = Parameters()
  ) throws(OpsError) -> Rows {
    try readBack(all: [(statement, parameters)])[0]
  }

  /// Several of them, in one round trip and one transaction.
  public func readBack(all statements: [(Statement, Parameters)]) throws(OpsError) -> [Rows] {
    for attempt in 1..<max(attemptsMax, 2) {
      do throws(OpsError) { return try query(all: statements) } catch {
        guard error.code == .databaseUnreachable else { throw error }
        pause(attempt)
      }
    }
    return try query(all: statements)
  }

  /// Several statements outside of a command, in one round trip and one transaction.
  public func query(
    all statements: [(Statement, Parameters)]
  ) throws(OpsError) -> [Rows] {
    let connection = try connection()
    return try onDatabase { () throws(PostgresError) in try connection.pipeline(statements) }
  }

  /// One statement outside of a command.
  public func query(
    _ statement: Statement, _ parameters: Parameters = Parameters()
  ) throws(OpsError) -> Rows {
    do { return try connection().query(statement, parameters) } catch let error as PostgresError {
      throw OpsError(database: error)
    } catch let error as OpsError {
      throw error
    } catch {
      throw OpsError(.databaseUnreachable, "\(error)")
    }
  }
}

extension OpsError {
  /// What a failure of the database means to whoever asked.
  public init(database error: PostgresError) {
    // Functions of ours say which of our codes it is.
    let state = Cause.database(DatabaseFault(sqlstate: error.sqlstate))
    if let code = Code(rawValue: String(error.message.prefix(7))),
      error.message.dropFirst(7).hasPrefix(": "), code != .databaseUnreachable
    {
      self.init(
        code, String(error.message.dropFirst(9)), hint: error.hint,
        cause: state)
      return
    }
    switch error.sqlstate {
    case "2200H":
      self.init(
        .schemaMismatch, "a counter of the ledger has come to its end: \(error.message)",
        hint: "see `opsledger doctor`", cause: state)
    case "42P01", "3F000", "42883", "42703":
      self.init(
        .schemaMismatch, "the database has no ledger that this release can use: \(error.message)",
        hint: "lay the schema with `opsledger init`", cause: state)
    case "42501" where error.isHiddenByPolicy:
      self.init(
        .notAllowed, "rows would be hidden: \(error.message)",
        hint: "a row-level policy is forced on it; take that off by "
          + "ALTER TABLE … NO FORCE ROW LEVEL SECURITY: the policy goes on holding for all "
          + "who do not own the table", cause: state)
    case "42501":
      self.init(
        .notAllowed, "the database login may not do this: \(error.message)",
        hint: "the engine's login is a member of opsledger_engine",
        cause: state)
    case "40001", "40P01":
      self.init(
        .conflict, "others were quicker each time: \(error.message)", hint: "try again",
        cause: state)
    case "55P03":
      self.init(
        .conflict, "another transaction holds a lock: \(error.message)",
        hint: "pg_blocking_pids() and pg_stat_activity say whose; try again when it has ended",
        cause: state)
    default:
      let (code, message, hint) = Self.byClass(error)
      self.init(code, message, hint: hint, cause: Self.cause(error))
    }
  }

  /// A connection that broke without a word has the SQLSTATE of that.
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
    case "22": return (.badInput, "a value is not what the database takes: \(error.message)", nil)
    case "42":
      return (
        .schemaMismatch, "the database is not as this release wants it: \(error.message)",
        error.sqlstate == "42P07" || error.sqlstate == "42710"
          ? "something of that name was there before; a ledger wants a database of its own" : nil
      )
    case "55": return (.conflict, "the database refuses it: \(error.message)", error.hint)
    case "53":
      let hints = [
        "53100": "its disk is full", "53200": "it is out of memory",
        "53300": "raise max_connections, or put a pooler before it",
      ]
      return (.databaseUnreachable, "\(error)", hints[error.sqlstate])
    case "57":
      let hints = [
        "57014": "somebody cancelled it (pg_cancel_backend), or a pooler did (query_timeout)",
        "57P05": "its idle_session_timeout is over",
      ]
      return (
        .databaseUnreachable, "\(error)",
        hints[error.sqlstate] ?? "it was shut down, or the session ended"
      )
    case "58", "XX":
      return (
        .databaseUnreachable, "\(error)",
        "where its programs were replaced while it runs, restart it: the private PostgreSQL by "
          + "`opsledger db stop` and `opsledger db start`"
      )
    // Of the connection, the transaction, the system, or PostgreSQL itself.
    case let group where error.kind == .server && !["08", "25"].contains(group):
      // A trigger may raise any state.
      return (.conflict, "the database refuses a row: \(error.message)", error.hint)
    default:
      return (
        .databaseUnreachable, "\(error)",
        error.kind == .connect ? "is it running, and is its URL right?" : nil
      )
    }
  }
}

/// Runs what the database may refuse, and says it in the ledger's words.
package func onDatabase<R>(_ body: () throws(PostgresError) -> R) throws(OpsError) -> R {
  do { return try body() } catch { throw OpsError(database: error) }
}
