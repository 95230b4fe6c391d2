public import Ledger
public import Log
import Postgres

extension TimeTravel {
  /// Writes the tables as of a moment to a schema, as plain tables in one transaction.
  ///
  /// If the schema exists, it must be empty and belong to a role of which the login is a member. Otherwise it is made,
  /// and belongs to `opsledger_tables`.
  ///
  /// - Returns: Rows by table.
  /// - Throws: `OPS_012` if the schema is not empty, `OPS_013` if the login may not use or make it.
  public static func write(
    _ target: Session.Target, at entry: Int64, into schema: String,
    from snapshots: (any StateSnapshots)? = nil, _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) -> [String: Int] {
    try check(schema)
    return try snapshots.fallingBack { () throws(OpsError) in
      try writeOnce(target, at: entry, into: schema, from: snapshots, progress)
    }
  }

  private static func writeOnce(
    _ target: Session.Target, at entry: Int64, into schema: String,
    from snapshots: (any StateSnapshots)?, _ progress: ReplayProgress
  ) throws(OpsError) -> [String: Int] {
    var owner = ""
    let tables = try StateTables(
      target, .schema(schema), from: snapshots,
      prepare: { (connection) throws(OpsError) in
        owner = try findOrMake(schema, on: connection)
      })
    defer { tables.end() }
    try tables.move(to: entry, progress)
    return try onDatabase { () throws(PostgresError) in
      var rows: [String: Int] = [:]
      let name = quoteIdentifier(schema)
      for table in StateShapes.tables {
        let count = try tables.connection.query(Statement("SELECT count(*) FROM \(name).\(table)"))
        rows[table] = Int(try count.int8(0, 0))
      }
      try tables.connection.execute(finish(name, owner: owner, entry: entry))
      return rows
    }
  }

  private static func check(_ schema: String) throws(OpsError) {
    guard (1...63).contains(schema.utf8.count), !schema.utf8.contains(0) else {
      throw OpsError(.badInput, "a schema's name has 1 to 63 bytes")
    }
    let taken = ["public", "ledger", "ledger_guard", "information_schema"]
    guard !taken.contains(schema), !schema.hasPrefix("pg_") else {
      throw OpsError(
        .notAllowed, "schema \(schema) is reserved", hint: "name a schema that does not exist")
    }
  }

  /// - Returns: The schema's owner.
  private static func findOrMake(
    _ schema: String, on connection: Connection
  ) throws(OpsError) -> String {
    var parameters = Parameters()
    parameters.text(schema)
    let found = try onDatabase { () throws(PostgresError) in
      try connection.query(look, parameters)
    }
    guard !found.isEmpty else { return try make(schema, on: connection) }
    let (owner, isOurs, isEmpty) = try onDatabase { () throws(PostgresError) in
      (try found.text(0, 0), try found.bool(0, 1), try found.bool(0, 2))
    }
    guard isOurs else {
      throw OpsError(
        .notAllowed,
        "schema \(schema) belongs to \(owner), and the login is not a member of that role",
        hint: "name a schema that does not exist")
    }
    guard isEmpty else {
      throw OpsError(
        .conflict, "schema \(schema) is not empty; nothing was written",
        hint: "name a schema that does not exist, or drop this one first")
    }
    return owner
  }

  private static func make(
    _ schema: String, on connection: Connection
  ) throws(OpsError) -> String {
    do throws(PostgresError) {
      try connection.execute(
        "CREATE SCHEMA \(quoteIdentifier(schema)) AUTHORIZATION opsledger_tables")
      return "opsledger_tables"
    } catch {
      switch error.sqlstate {
      case "42501":
        throw OpsError(
          .notAllowed, "the login may not make schema \(schema): \(error.message)",
          hint:
            "CREATE SCHEMA \(quoteIdentifier(schema)) AUTHORIZATION opsledger_tables, as a superuser; "
            + "or GRANT CREATE ON DATABASE … TO the login")
      case "42P06", "23505":
        throw OpsError(
          .conflict, "another session made schema \(schema) at the same time; nothing was written",
          hint: "name a schema that does not exist")
      default: throw OpsError(database: error)
      }
    }
  }

  private static let look = Statement(
    """
    SELECT pg_get_userbyid(n.nspowner)::text, pg_has_role(n.nspowner, 'USAGE'),
      NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.refclassid = 'pg_namespace'::regclass
        AND d.refobjid = n.oid)
    FROM pg_namespace AS n WHERE n.nspname = $1::text
    """)

  private static func finish(_ schema: String, owner: String, entry: Int64) -> String {
    let owning = StateShapes.tables.map {
      "ALTER TABLE \(schema).\($0) OWNER TO \(quoteIdentifier(owner))"
    }
    let readers = "opsledger_engine, opsledger_operator, opsledger_auditor"
    return
      (owning + [
        "GRANT USAGE ON SCHEMA \(schema) TO \(readers)",
        "GRANT SELECT ON ALL TABLES IN SCHEMA \(schema) TO \(readers)",
        "COMMENT ON SCHEMA \(schema) IS 'opsledger: the tables as of entry \(entry)'", "COMMIT",
      ]).joined(separator: ";\n")
  }
}
