public import Ledger
public import Log
public import Postgres

/// One statement of a user, in a transaction in which it can read a state and write nothing.
///
/// The server parses the statement alone, so it is one statement. It must return rows. The transaction is read-only and
/// has its snapshot, so the statement cannot make it writable again. The temporary tables grant SELECT only. The
/// transaction is rolled back. Values are spelt the same under all settings of the database.
struct StateQuery {
  let sql: String
  private let connection: Connection
  private let tables: StateTables

  init(_ sql: String, _ tables: StateTables) {
    (self.sql, self.tables, connection) = (sql, tables, tables.connection)
  }

  /// - Parameters:
  ///   - head: Called once, before any row.
  ///   - each: Called with each row.
  /// - Returns: Live tables that functions of the query read.
  /// - Throws: `OPS_019` if it is not one statement that returns rows, or if it reads a live table; `OPS_013` if it
  ///   writes.
  func run(
    head: ([TextQuery.Column]) -> Void, each: (borrowing TextQuery.Row) -> Void
  ) throws(OpsError) -> [String] {
    try fenced { () throws(OpsError) in
      let query = try prepared()
      head(query.columns)
      try Self.theirs { () throws(PostgresError) in try query.run(each) }
      return try liveTables()
    }
  }

  /// The columns of the query's result. The query is not run.
  private func check() throws(OpsError) -> [TextQuery.Column] {
    try fenced { () throws(OpsError) in try prepared().columns }
  }

  /// The columns of the query's result, and the columns that it reads. If the tables that its text names are not enough,
  /// all eight tables are made.
  func look() throws(OpsError) -> (gives: [TextQuery.Column], reads: StateColumns?) {
    if !tables.areAllMade, let gives = try? check(), let reads = try? columns() {
      return (gives, reads)
    }
    try tables.makeAll()
    return (try check(), try columns())
  }

  /// The columns that the query reads, also through views. Nil if that is unknown before it runs: it calls a function
  /// that is not PostgreSQL's own, reads a table that is made later, or is not a SELECT.
  private func columns() throws(OpsError) -> StateColumns? {
    // PostgreSQL's own functions that run a text as a query.
    let text = sql.lowercased()
    if ["xml", "ts_stat", "ts_rewrite"].contains(where: text.contains) { return nil }
    return try onDatabase { () throws(PostgresError) in
      try connection.execute("SAVEPOINT opsledger_look")
      defer { try? connection.execute("ROLLBACK TO SAVEPOINT opsledger_look") }
      do throws(PostgresError) {
        // Alone in its message, like the query itself.
        try connection.query(Statement("CREATE TEMPORARY VIEW opsledger_look AS \(sql)"))
      } catch {
        if connection.isBroken { throw error }
        return nil
      }
      return try columns(of: try connection.query(Self.dependencies))
    }
  }

  private func columns(of rows: Rows) throws(PostgresError) -> StateColumns? {
    var names: [RowType: Set<String>] = [:]
    var readsWholeRows = false
    for row in 0..<rows.count {
      guard let table = try rows.textIfPresent(row, 0) else { return nil }
      // The query would find a live view in place of one that is not made yet.
      if !tables.areAllMade, !(try rows.bool(row, 3)) { return nil }
      readsWholeRows = try rows.bool(row, 2)
      guard let rowType = RowType.allCases.first(where: { TableText.of($0).table == table }) else {
        continue
      }
      let column = try rows.textIfPresent(row, 1)
      names[rowType, default: []].formUnion(column.map { [$0] } ?? [])
    }
    if readsWholeRows { return .all(of: Set(names.keys)) }
    return names.reduce(into: [:]) { columns, read in
      let all = TableText.of(read.key).columns
      // COPY needs a column even if the query only counts rows.
      let read = (rowType: read.key, names: read.value.isEmpty ? ["version"] : read.value)
      columns[read.rowType] = all.indices.filter { read.names.contains(all[$0].name) }
    }
  }

  /// The relations and columns that the view depends on; NULL for any other object that is not PostgreSQL's own, which
  /// has no dependency. A whole row, as in `to_jsonb(m)`, is no dependency on columns: in the rule's tree it is attribute
  /// 0.
  private static let dependencies = Statement(
    """
    WITH RECURSIVE needs (class, object, attribute) AS (
      SELECT 'pg_class'::regclass::oid, 'pg_temp.opsledger_look'::regclass::oid, 0
      UNION
      SELECT d.refclassid, d.refobjid, d.refobjsubid FROM needs AS n
      JOIN pg_rewrite AS r ON n.class = 'pg_class'::regclass AND r.ev_class = n.object
      JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid)
    SELECT c.relname::text, a.attname::text,
      EXISTS (SELECT FROM needs AS w JOIN pg_rewrite AS r ON r.ev_class = w.object
        WHERE w.class = 'pg_class'::regclass AND strpos(r.ev_action::text, ':varattno 0 ') > 0),
      c.relnamespace = pg_my_temp_schema()
    FROM needs AS n
    LEFT JOIN pg_class AS c ON n.class = 'pg_class'::regclass AND c.oid = n.object
    LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = n.attribute AND a.attnum > 0
    WHERE n.class NOT IN ('pg_type'::regclass, 'pg_collation'::regclass)
    """)

  private func fenced<R>(_ body: () throws(OpsError) -> R) throws(OpsError) -> R {
    try onDatabase { () throws(PostgresError) in try connection.execute(fence) }
    // The rollback also releases the locks that showed which tables the query read.
    defer { try? connection.execute("ROLLBACK TO SAVEPOINT opsledger_query") }
    return try body()
  }

  private func prepared() throws(OpsError) -> TextQuery {
    let query = try Self.theirs { () throws(PostgresError) in try TextQuery(sql, on: connection) }
    guard !query.columns.isEmpty else {
      throw OpsError(
        .badInput, "the query returns no rows", hint: "write one SELECT, VALUES, SHOW or EXPLAIN")
    }
    guard query.parameterCount == 0 else {
      throw OpsError(
        .badInput, "the query has a parameter, $1, and no value for it",
        hint: "write the value in the query")
    }
    // The parser has locked the tables that the query reads, also through views.
    let live = try liveTables()
    guard live.isEmpty else {
      throw OpsError(
        .badInput,
        "the query reads \(live.joined(separator: ", ")) as of now, not as of the moment",
        hint: "write the table's name without a schema; your own views read the live tables")
    }
    return query
  }

  private var fence: String {
    let all = (tables.tablesMade + ["opsledger_moment"]).map { "pg_temp." + $0 }
    return """
      SAVEPOINT opsledger_query;
      REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON \(all.joined(separator: ", ")) \
      FROM CURRENT_USER;
      SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1;
      SET LOCAL TimeZone = 'UTC'; SET LOCAL IntervalStyle = 'postgres'; SET LOCAL xmlbinary = 'base64';
      SET TRANSACTION READ ONLY;
      SELECT 1
      """
  }

  /// The live tables on which this transaction has a lock.
  private func liveTables() throws(OpsError) -> [String] {
    var parameters = Parameters()
    parameters.texts(StateShapes.tables.map { "public." + $0 })
    let rows = try onDatabase { () throws(PostgresError) in
      try connection.query(Self.locked, parameters)
    }
    return try rows.texts()
  }

  private static let locked = Statement(
    """
    SELECT DISTINCT t.name FROM unnest($1::text[]) AS t(name)
    JOIN pg_locks AS l ON l.relation = to_regclass(t.name)
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' ORDER BY 1
    """)

  /// Turns an error of the user's SQL into one about the query, and not about the ledger.
  private static func theirs<R>(_ body: () throws(PostgresError) -> R) throws(OpsError) -> R {
    do { return try body() } catch {
      switch error.sqlstate {
      case "25006", "42501", "25001":
        throw OpsError(
          .notAllowed, "the query may only read: \(error.message)",
          cause: .database(DatabaseFault(sqlstate: error.sqlstate)))
      case let state
      where ["42", "22", "0A", "25", "P0", "2F", "3F", "21"].contains(state.prefix(2)):
        throw OpsError(
          .badInput, "the query failed: \(error.message)",
          hint: ["42883", "42704"].contains(state)
            ? "write the schema of your own functions, operators and types: public.f(…)"
            : error.hint,
          cause: .database(DatabaseFault(sqlstate: error.sqlstate)))
      default: throw OpsError(database: error)
      }
    }
  }
}

extension TimeTravel {
  /// Runs one query on the tables as of a moment.
  ///
  /// - Parameters:
  ///   - session: A session to read with; nil for a new one.
  ///   - head: Called once with the columns, before any row.
  ///   - each: Called with each row, as the server sends it.
  /// - Returns: Live tables that functions of the query read.
  /// - Throws: `OPS_019` if it is not one statement that returns rows, `OPS_013` if it writes.
  public static func query(
    _ sql: String, _ target: Session.Target, at entry: Int64,
    from snapshots: (any StateSnapshots)? = nil, on session: Session? = nil,
    _ progress: ReplayProgress = ReplayProgress(),
    head: ([TextQuery.Column]) -> Void, each: (borrowing TextQuery.Row) -> Void
  ) throws(OpsError) -> [String] {
    let (tables, query) = try snapshots.fallingBack { () throws(OpsError) in
      let tables = try StateTables(target, .temporary, from: snapshots, on: session, for: sql)
      do throws(OpsError) {
        let query = StateQuery(sql, tables)
        // A query that cannot run is refused before the tables are filled.
        if let columns = try query.look().reads { tables.fillOnly(columns) }
        try tables.move(to: entry, progress)
        return (tables, query)
      } catch {
        tables.end()
        throw error
      }
    }
    defer { tables.end() }
    return try query.run(head: head, each: each)
  }
}
