import Postgres

/// One laying of the schema: before the files run it puts back what is not as it was laid, and afterwards what they do not
/// lay each time, and notes what was laid.
///
/// A fact is noted anew where the files changed it, or where they lay it each time (functions, views, event triggers).
/// Whatever else is not as it was laid is put back, and what cannot be stays noted as it should be.
struct SchemaApplication {
  private let connection: Connection
  private let applied: Definitions?
  private let before: Definitions
  /// What was not as it was laid when it began.
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
      // The files go by what was laid before them: keys that they insert by, tables that they change.
      _ = try Self.repair(wrong, applied, found, connection, clearing: true)
      before = try Definitions.read(on: connection).found
    }
  }

  static let logIsGone = PostgresError.usage("the log is gone")

  /// Whether `psql` laid files of this release since, of which nothing was noted.
  private static func isAppliedByPsql(_ applied: Definitions, _ found: Definitions) -> Bool {
    SchemaFile.sql.contains { file in
      let object = "migration \(file.name)"
      return applied.facts[object] == nil && found.facts[object].map { $0["sha256"] == nil } == true
    }
  }

  /// Puts back what can be, while the guards rest: they run as their owners, who may be anybody yet.
  private static func repair(
    _ faults: [Definitions.Fault], _ applied: Definitions, _ found: Definitions,
    _ connection: Connection, clearing: Bool = false
  ) throws(PostgresError) -> [String: PostgresError] {
    let guards = try connection.query(
      Statement(
        """
        SELECT quote_ident(e.evtname) FROM pg_event_trigger AS e
        WHERE e.evtname LIKE 'opsledger\\_%' AND e.evtenabled <> 'D'
        """))
    for row in 0..<guards.count {
      try connection.execute("ALTER EVENT TRIGGER \(try guards.text(row, 0)) DISABLE")
    }
    if clearing { try clearTheWay(faults, connection) }
    try disinherit(faults, connection)
    let failures = try SchemaRepair(faults, applied: applied, found: found).run(on: connection)
    for row in 0..<guards.count {
      try connection.execute("ALTER EVENT TRIGGER \(try guards.text(row, 0)) ENABLE ALWAYS")
    }
    return failures
  }

  /// A function with another result, or a view with other columns, cannot be replaced: it goes before the files run.
  /// What others have made of it goes on with it, under another name.
  private static func clearTheWay(
    _ faults: [Definitions.Fault], _ connection: Connection
  ) throws(PostgresError) {
    for (number, fault) in faults.enumerated() {
      guard let fact = fault.fact, let kind = fault.object.split(separator: " ").first else {
        continue
      }
      let name = fault.object.dropFirst(kind.count + 1)
      let what: String
      switch (kind, fact) {
      case ("function", "result"), ("function", "arguments"), ("function", "kind"): what = "ROUTINE"
      case ("view", _) where fact == "columns" || fact.hasPrefix("type of "): what = "VIEW"
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

  /// - Returns: What is as it was laid again, and what is not.
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

  /// What the catalogue should say from now on.
  private func expected(_ applied: Definitions, _ after: Definitions) -> Definitions {
    var expected = applied
    for (object, facts) in after.facts {
      let old = before.facts[object]
      guard let recorded = applied.facts[object] else {
        // What was there already is somebody else's, also where the files grant or revoke on all that there is.
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

  /// Owners and rights outlive a function that is laid again.
  private static func isAppliedEachTime(_ object: String, _ fact: String) -> Bool {
    ["function ledger", "function public.", "view ", "event trigger "].contains(
      where: object.hasPrefix)
      && fact != "owner" && !fact.contains(" may ")
  }

  /// Tables that inherit from ours, or ours from them, go their own ways; their rows stay with them.
  private static func disinherit(
    _ faults: [Definitions.Fault], _ connection: Connection
  ) throws(PostgresError) {
    for fault in faults where fault.fact?.hasPrefix("tables that ") == true {
      var parameters = Parameters()
      parameters.text(String(fault.object.dropFirst("table ".count)))
      let rows = try connection.query(inheritance, parameters)
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
