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
    public var coldLog: (any ColdLog)?
    /// What slows its reading down.
    public var pace: (any ReadPace)?

    public init(url: String, application: String = "opsledger", connectTimeoutMillis: Int = 5000) {
      self.url = url
      self.application = application
      self.connectTimeoutMillis = connectTimeoutMillis
    }
  }

  public let target: Target
  /// How often a command is tried that lost a race or its connection.
  public var attemptsMax = 12
  private var open: Connection?
  /// A channel that it listens to, on whichever connection it has.
  private var channel: String?
  /// Whether its statements look up few rows of tables that may have grown since they were planned; see
  /// ``preferIndexes()``.
  private var prefersIndexes = false
  /// UPDATE statements by table and the columns that they set.
  var updates: [UpdateShape: Statement] = [:]
  /// Single-statement appends by the tables that they write.
  var freshAppends: [FreshShape: Statement] = [:]

  /// Connects.
  ///
  /// - Throws: `OPS_001` where the database is out of reach.
  public init(_ target: Target) throws(OpsError) {
    self.target = target
    open = try Self.connect(target)
  }

  /// What every connection of ours is set to. Plans are generic, since one made on an empty table
  /// would stay a sequential scan; row-level policies fail loudly instead of hiding rows.
  private static let settings: [(name: String, value: String)] = [
    ("plan_cache_mode", "force_generic_plan"), ("row_security", "off"), ("TimeZone", "UTC"),
    ("search_path", "public, pg_temp"), ("lock_timeout", "10s"), ("jit", "off"),
    ("client_min_messages", "warning"), ("max_parallel_workers_per_gather", "0"),
    ("synchronize_seqscans", "off"), ("idle_in_transaction_session_timeout", "5min"),
    ("default_transaction_isolation", "read committed"), ("IntervalStyle", "iso_8601"),
  ]

  private static func connect(_ target: Target) throws(OpsError) -> Connection {
    do {
      let connection = try Connection(
        url: target.url, applicationName: target.application,
        connectTimeoutSeconds: max(1, (target.connectTimeoutMillis + 999) / 1000),
        settings: settings)
      connection.pace = target.pace
      return connection
    } catch {
      throw OpsError(database: error)
    }
  }

  /// The connection, opened again where it broke.
  public func connection() throws(OpsError) -> Connection {
    if let open, !open.isBroken { return open }
    open = nil
    let fresh = try Self.connect(target)
    try onDatabase { () throws(PostgresError) in
      if let channel { try fresh.listen(channel) }
      if prefersIndexes { try fresh.execute(Self.indexesPreferred) }
    }
    open = fresh
    return fresh
  }

  /// Plans without sequential scans wherever there is an index: a plan that was made on an empty table
  /// would else stay one until autovacuum has looked at the table, and read all of it for each batch.
  public func preferIndexes() {
    guard !prefersIndexes else { return }
    prefersIndexes = true
    // One that cannot be asked now is told when it is opened again.
    if let open, !open.isBroken { try? open.execute(Self.indexesPreferred) }
  }

  private static let indexesPreferred = "SET enable_seqscan = off"

  /// Listens to a channel from now on; see ``Postgres/Connection/waitForNotifications(timeoutMillis:)``.
  public func listen(to channel: String) throws(OpsError) {
    self.channel = channel
    let connection = try connection()
    try onDatabase { () throws(PostgresError) in try connection.listen(channel) }
  }

  /// Waits until the channel says something, or the time is over.
  ///
  /// - Returns: Whether it did.
  public func hears(withinMillis timeout: Int) throws(OpsError) -> Bool {
    let connection = try connection()
    return try onDatabase { () throws(PostgresError) in
      !(try connection.waitForNotifications(timeoutMillis: timeout)).isEmpty
    }
  }

  /// Gives up the connection; the next use opens another.
  public func drop() {
    open?.close()
    open = nil
  }

  /// One statement that only reads, what a command has recorded or needs: tried again where the
  /// connection breaks, as the command itself is.
  public func readBack(
    _ statement: Statement, _ parameters: Parameters = Parameters()
  ) throws(OpsError) -> Rows {
    for attempt in 1..<max(attemptsMax, 2) {
      do throws(OpsError) { return try query(statement, parameters) } catch {
        guard error.code == .databaseUnreachable else { throw error }
        pause(attempt)
      }
    }
    return try query(statement, parameters)
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
    if let code = Code(rawValue: String(error.message.prefix(7))),
      error.message.dropFirst(7).hasPrefix(": ")
    {
      self.init(
        code, String(error.message.dropFirst(9)), hint: error.hint,
        facts: ["sqlstate": error.sqlstate])
      return
    }
    switch error.sqlstate {
    case "42P01", "3F000", "42883", "42703":
      self.init(
        .schemaMismatch, "the database has no ledger that this release can use: \(error.message)",
        hint: "lay the schema with `opsledger init`")
    case "42501" where error.message.contains("row-level security policy for table"):
      self.init(
        .notAllowed, "rows would be hidden: \(error.message)",
        hint: "a row-level policy is forced on it; take that off by "
          + "ALTER TABLE … NO FORCE ROW LEVEL SECURITY: the policy goes on holding for all "
          + "who do not own the table")
    case "42501":
      self.init(
        .notAllowed, "the database login may not do this: \(error.message)",
        hint: "the engine's login is a member of opsledger_engine")
    case "40001", "40P01", "55P03", "23505":
      self.init(
        .conflict, "others were quicker each time: \(error.message)", hint: "try again",
        facts: ["sqlstate": error.sqlstate])
    default:
      let (code, message, hint) = Self.byClass(error)
      self.init(
        code, message, hint: hint,
        facts: error.sqlstate.isEmpty
          ? [:] : ["sqlstate": error.sqlstate, "server": error.message])
    }
  }

  /// - Source: PostgreSQL manual, appendix A: the first two characters of a SQLSTATE are its class.
  private static func byClass(_ error: PostgresError) -> (Code, String, hint: String?) {
    switch error.sqlstate.prefix(2) {
    case "23":
      return (
        .conflict, "the database refuses a row: \(error.message)",
        error.constraint.map { "see constraint \($0)" }
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
    case "57": return (.databaseUnreachable, "\(error)", "it was shut down, or the session ended")
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
