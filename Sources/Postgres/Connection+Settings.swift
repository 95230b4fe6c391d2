internal import CPostgres

/// How a transaction begins. It names everything whose default the server may have changed.
public enum TransactionMode: String, Sendable {
  /// Each statement sees what other transactions committed before it.
  case readCommitted = "ISOLATION LEVEL READ COMMITTED"
  /// All statements see one moment and change nothing.
  case snapshot = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
}

/// Settings of the session, or of each transaction behind a pooler.
extension Connection {
  /// Begins a transaction and runs `sql` in it, in one round trip.
  ///
  /// - Parameter sql: One or more statements without parameters.
  /// - Throws: The server's error. The transaction is then open and failed.
  public func begin(
    _ mode: TransactionMode = .readCommitted, _ sql: String = ""
  ) throws(PostgresError) {
    try send(beginning(mode) + (sql.isEmpty ? "" : "; " + sql))
  }

  /// SET LOCAL takes no snapshot, so a statement that follows may still choose one.
  func beginning(_ mode: TransactionMode) -> String {
    var sql = "BEGIN \(mode.rawValue)"
    guard isPooled else { return sql }
    for setting in settings {
      // search_path is a list, and a quoted list would be one name.
      let isList = setting.name == "search_path"
      let value = isList ? setting.value : quoteLiteral(setting.value)
      sql += "; SET LOCAL \(setting.name) TO \(value)"
    }
    return sql
  }

  /// Sets a setting for all later statements of this connection.
  public func set(_ name: String, to value: String) throws(PostgresError) {
    settings.removeAll { $0.name == name }
    settings.append((name, value))
    if isPooled { localSettings = makeLocalSettings() } else { try apply() }
  }

  /// Sets the session's settings again if they were reset.
  func restoreSettings() throws(PostgresError) {
    guard lostSettings else { return }
    if !isPooled { try apply() }
    lostSettings = false
  }

  /// Runs the first statement. It finds out whether there is a pooler: a pooler reports a process number that is not
  /// the server's. Without a pooler, it sets the settings too.
  ///
  /// - Parameter mayBePooled: False if it is to set the settings in any case.
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

  /// The defaults of the database and the role hold until the settings are set. A standby refuses SERIALIZABLE, and
  /// statement_timeout may be too short to plan the list.
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
    // A name with a point is a new setting if the server does not know it.
    return setting.name.contains(".")
      ? set : "CASE WHEN pg_catalog.current_setting(\(name), true) IS NOT NULL THEN \(set) END"
  }

  /// Runs one or more statements, and returns the first value as text.
  private func ask(_ sql: String) throws(PostgresError) -> String? {
    let handle = try idleHandle()
    guard PQsendQuery(handle, sql) == 1 else { throw lost(mayHaveSent: false) }
    var value: String?
    try readResults(handle) { (result) throws(PostgresError) in
      if value == nil, PQntuples(result) > 0 {
        value = PQgetvalue(result, 0, 0).map { String(cString: $0) }
      }
    }
    return value
  }
}
