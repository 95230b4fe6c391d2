import Postgres

/// Applies the schema's definitions around its files. Before the files run, it repairs what is not as it was applied.
/// Afterwards it repairs what the files do not replace, and records the new definitions.
///
/// A fact is recorded anew if the files changed it, or replace it each time (functions, views, event triggers). All
/// other differences are repaired. What cannot be repaired stays recorded as it should be.
struct SchemaApplication {
  private let connection: Connection
  private let applied: Definitions?
  private let before: Definitions
  /// What was not as it was applied at the beginning.
  private let wrong: [Definitions.Fault]

  init(_ connection: Connection) throws(PostgresError) {
    self.connection = connection
    let (applied, found) = try Definitions.read(on: connection)
    guard let applied, applied.facts["server"] == found.facts["server"],
      !Self.isAppliedByPsql(applied, found)
    else {
      (self.applied, before, wrong) = (nil, found, [])
      return
    }
    self.applied = applied
    let log = "table ledger.events"
    guard found.facts[log]?["columns"] == applied.facts[log]?["columns"] else {
      throw Self.logIsGone
    }
    wrong = Definitions.faults(applied: applied, found: found)
    if wrong.isEmpty {
      before = found
    } else {
      // The files rely on what was applied before: the keys of their inserts, the tables that they change.
      _ = try Self.repair(wrong, applied, found, connection, clearing: true)
      before = try Definitions.read(on: connection).found
    }
  }

  static let logIsGone = PostgresError.usage("the log is gone")

  /// Whether `psql` has applied files of this release, and their definitions are not recorded.
  private static func isAppliedByPsql(_ applied: Definitions, _ found: Definitions) -> Bool {
    SchemaFile.sql.contains { file in
      let object = "migration \(file.name)"
      return applied.facts[object] == nil && found.facts[object].map { $0["sha256"] == nil } == true
    }
  }

  /// Repairs what can be repaired. The guards are switched off meanwhile: they run as their owners, which may be wrong.
  private static func repair(
    _ faults: [Definitions.Fault], _ applied: Definitions, _ found: Definitions,
    _ connection: Connection, clearing: Bool = false
  ) throws(PostgresError) -> [String: PostgresError] {
    let names = try connection.query(
      Statement(
        """
        SELECT quote_ident(e.evtname) FROM pg_event_trigger AS e
        WHERE e.evtname LIKE 'opsledger\\_%' AND e.evtenabled <> 'D'
        """))
    var guards: [String] = []
    for row in 0..<names.count { guards.append(try names.text(row, 0)) }
    for name in guards { try connection.execute("ALTER EVENT TRIGGER \(name) DISABLE") }
    if clearing { try dropReplaced(faults, connection) }
    try disinherit(faults, connection)
    let failures = try SchemaRepair(faults, applied: applied, found: found).run(on: connection)
    for name in guards { try connection.execute("ALTER EVENT TRIGGER \(name) ENABLE ALWAYS") }
    return failures
  }

  /// Drops functions with another result, and views with other columns, because the files cannot replace them. If
  /// objects of others depend on one, it is renamed instead.
  private static func dropReplaced(
    _ faults: [Definitions.Fault], _ connection: Connection
  ) throws(PostgresError) {
    for (number, fault) in faults.enumerated() {
      let kind = fault.object.prefix { $0 != " " }
      let name = fault.object.dropFirst(kind.count + 1)
      let what: String
      switch (kind, fault.fact) {
      case ("function", "result"?), ("function", "arguments"?), ("function", "kind"?):
        what = "ROUTINE"
      case ("view", let fact?) where fact == "columns" || fact.hasPrefix("type of "): what = "VIEW"
      default: continue
      }
      for way in ["DROP \(what) \(name)", "ALTER \(what) \(name) RENAME TO replaced_\(number)"] {
        do throws(PostgresError) {
          try connection.execute("SAVEPOINT way")
          try connection.query(Statement(way))
          break
        } catch {
          guard error.isOfTheStatement else { throw error }
          try connection.execute("ROLLBACK TO way")
        }
      }
    }
  }

  /// - Returns: What was repaired, and what could not be.
  consuming func finish() throws(PostgresError) -> (repaired: [String], unrepaired: [String]) {
    let after = try Definitions.read(on: connection).found
    guard let applied else {
      try after.note(on: connection)
      return ([], [])
    }
    let expected = expected(applied, after)
    let tampered = Definitions.faults(applied: expected, found: after)
    var (found, failures) = (after, [String: PostgresError]())
    if !tampered.isEmpty {
      failures = try Self.repair(tampered, expected, after, connection)
      found = try Definitions.read(on: connection).found
    }
    if expected != applied { try expected.note(on: connection) }
    let left = Definitions.faults(applied: expected, found: found)
    return (
      wrong.filter { !left.contains($0) }.map(\.text),
      left.map { fault in
        fault.text + (failures[fault.object].map { " (\($0.reason))" } ?? "")
      }
    )
  }

  /// The definitions that are right from now on.
  private func expected(_ applied: Definitions, _ after: Definitions) -> Definitions {
    var expected = applied
    for (object, facts) in after.facts {
      let old = before.facts[object]
      guard let recorded = applied.facts[object] else {
        // An object that was there before is somebody else's, even if the files grant or revoke rights to it.
        if old == nil { expected.facts[object] = facts }
        continue
      }
      for fact in Set(facts.keys).union(recorded.keys)
      where facts[fact] != old?[fact] || Self.isAppliedEachTime(object, fact) {
        expected.facts[object]?[fact] = facts[fact]
      }
    }
    for object in applied.facts.keys where after.facts[object] == nil {
      if before.facts[object] != nil || Self.isAppliedEachTime(object, "") {
        expected.facts[object] = nil
      }
    }
    return expected
  }

  /// Replacing a function keeps its owner and rights.
  private static func isAppliedEachTime(_ object: String, _ fact: String) -> Bool {
    ["function ledger", "function public.", "view ", "event trigger "].contains(
      where: object.hasPrefix)
      && fact != "owner" && !fact.contains(" may ")
  }

  /// Ends inheritance between opsledger's tables and others. The other tables keep their rows.
  private static func disinherit(
    _ faults: [Definitions.Fault], _ connection: Connection
  ) throws(PostgresError) {
    for fault in faults where fault.fact?.hasPrefix("tables that ") == true {
      let table = String(fault.object.dropFirst("table ".count))
      let rows = try connection.query(inheritance, Parameters(table))
      for row in 0..<rows.count {
        try connection.query(Statement(try rows.text(row, 0)))
      }
    }
  }

  private static let inheritance = Statement(
    """
    SELECT format('ALTER TABLE %s NO INHERIT %s', i.inhrelid::regclass, i.inhparent::regclass)
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE to_regclass($1::text) IN (i.inhparent, i.inhrelid) AND NOT c.relispartition
    """)
}
