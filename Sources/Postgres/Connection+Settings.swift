internal import CPostgres

/// How a transaction is begun; every default of the server that could be another is said.
public enum TransactionMode: String, Sendable {
  /// Each statement sees what was committed before it.
  case readCommitted = "ISOLATION LEVEL READ COMMITTED"
  /// All statements see one moment, and change nothing.
  case snapshot = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
}

/// Settings of the session, and behind a pooler of each transaction.
extension Connection {
  /// Begins a transaction, and runs `sql` in it: one round trip.
  ///
  /// - Parameter sql: One or more statements without parameters.
  /// - Throws: The server's error; the transaction is then open and failed.
  public func begin(
    _ mode: TransactionMode = .readCommitted, _ sql: String = ""
  ) throws(PostgresError) {
    try send(beginning(mode) + (sql.isEmpty ? "" : "; " + sql))
  }

  /// Settings by SET LOCAL, which takes no snapshot: what begins a transaction may still say which one it sees.
  func beginning(_ mode: TransactionMode) -> String {
    var sql = "BEGIN \(mode.rawValue)"
    guard isPooled else { return sql }
    for setting in settings {
      // Of a list each element would be quoted for itself.
      let isList = setting.name == "search_path"
      let value = isList ? setting.value : quoteLiteral(setting.value)
      sql += "; SET LOCAL \(setting.name) TO \(value)"
    }
    return sql
  }

  /// Sets something for all that follows on this connection.
  public func set(_ name: String, to value: String) throws(PostgresError) {
    settings.removeAll { $0.name == name }
    settings.append((name, value))
    if isPooled { localSettings = makeLocalSettings() } else { try apply() }
  }

  /// Makes the session's settings once more, where something has reset them.
  func restoreSettings() throws(PostgresError) {
    guard lostSettings else { return }
    if !isPooled { try apply() }
    lostSettings = false
  }

  /// The first statement on a connection. A pooler says a number of its own for the process that serves us, and is
  /// known by that; on a session of our own the settings are made, on one of a pooler's nothing.
  ///
  /// - Parameter mayBePooled: False: the settings are made in any case.
  func meet(mayBePooled: Bool) throws(PostgresError) {
    guard !settings.isEmpty else { return }
    guard mayBePooled else { return try apply() }
    let sets = settings.map { "CASE WHEN m.is_ours THEN \(setting($0, isLocal: false)) END" }
    let answer = try ask(
      """
      \(Self.beginSettings);
      SELECT m.is_ours, \(sets.joined(separator: ", "))
      FROM (SELECT pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) \(backendPID) AS is_ours) AS m;
      COMMIT
      """)
    isPooled = answer == "f"
  }

  /// What the database and the role are set to holds until the settings are made: a standby refuses SERIALIZABLE, and a
  /// timeout may be shorter than it takes to plan the list.
  private static let beginSettings =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0"

  private func apply() throws(PostgresError) {
    guard !settings.isEmpty else { return }
    let sets = settings.map { setting($0, isLocal: false) }
    try send("\(Self.beginSettings); SELECT \(sets.joined(separator: ", ")); COMMIT")
  }

  func makeLocalSettings() -> Statement {
    let sets = settings.map { setting($0, isLocal: true) }
    let place = ["pg_catalog.pg_backend_pid()", "pg_catalog.transaction_timestamp()"]
    return Statement("SELECT \((place + sets).joined(separator: ", "))")
  }

  private func setting(_ setting: Setting, isLocal: Bool) -> String {
    let name = quoteLiteral(setting.name)
    let set = "pg_catalog.set_config(\(name), \(quoteLiteral(setting.value)), \(isLocal))"
    // A name with a point is made where it is not known.
    return setting.name.contains(".")
      ? set : "CASE WHEN pg_catalog.current_setting(\(name), true) IS NOT NULL THEN \(set) END"
  }

  /// The first value that one or more statements give, as text.
  private func ask(_ sql: String) throws(PostgresError) -> String? {
    let handle = try idleHandle()
    guard PQsendQuery(handle, sql) == 1 else { throw lost(mayHaveSent: false) }
    var (value, failure): (String?, PostgresError?)
    while let result = PQgetResult(handle) {
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_TUPLES_OK: value = value ?? PQgetvalue(result, 0, 0).map { String(cString: $0) }
      case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: break
      default: failure = failure ?? error(of: result)
      }
    }
    if let failure { throw failure }
    return value
  }
}
