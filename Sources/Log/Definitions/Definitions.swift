import Ledger
package import Postgres

/// What the schema laid, as facts of the catalogue: `ledger_guard.definitions` keeps them as they were laid, and
/// ``query`` reads them as they are.
///
/// `init` alone writes the table, a superuser's. It holds the log's partitions, which come and go, once, under
/// `events_p*`.
package struct Definitions: Equatable, Sendable {
  package typealias Facts = [String: String]

  /// By object: `function ledger.allocate_entry()`, `constraint ops_policy_pkey on public.ops_policy`.
  package var facts: [String: Facts] = [:]
  /// Objects of schemas that nobody else may have anything in.
  var whole: Set<String> = []

  /// A fact or an object that is not as it was laid.
  package struct Fault: Equatable, Sendable {
    package let object: String
    /// Nil where the object is missing, or should not be there.
    let fact: String?
    let applied: String?
    let found: String?
  }

  /// What is not as it was laid, in the order of the objects' names.
  static func faults(applied: Definitions, found: Definitions) -> [Fault] {
    guard applied.majorVersion == found.majorVersion else {
      return [
        Fault(
          object: "server", fact: "major version", applied: applied.majorVersion,
          found: found.majorVersion)
      ]
    }
    var faults: [Fault] = []
    for (object, facts) in applied.facts {
      guard let there = found.facts[object] else {
        faults.append(Fault(object: object, fact: nil, applied: "there", found: nil))
        continue
      }
      for (fact, value) in facts where there[fact] != value && !isOperators(fact) {
        faults.append(Fault(object: object, fact: fact, applied: value, found: there[fact]))
      }
      guard found.whole.contains(object) else { continue }
      for (fact, value) in there
      where facts[fact] == nil && !isReading(fact) && fact != "its triggers" {
        faults.append(Fault(object: object, fact: fact, applied: nil, found: value))
      }
    }
    for object in found.whole where applied.facts[object] == nil {
      faults.append(Fault(object: object, fact: nil, applied: nil, found: "there"))
    }
    return faults.sorted { ($0.object, $0.fact ?? "") < ($1.object, $1.fact ?? "") }
  }

  /// Operators may add columns to the eight tables; the order is for who makes a table anew.
  private static func isOperators(_ fact: String) -> Bool { fact == "columns as laid" }

  /// Operators may let whom they like read.
  private static func isReading(_ fact: String) -> Bool {
    fact.contains(" may SELECT") || fact.hasSuffix(" may USAGE")
  }

  private var majorVersion: String? { facts["server"]?["major version"] }
}

extension Definitions.Fault {
  /// `function ledger.now(): another body`.
  var text: String {
    guard let fact else {
      return applied == nil ? "\(object): the schema has no such thing" : "\(object): missing"
    }
    switch (fact, applied, found) {
    case ("body", _, _), ("query", _, _): return "\(object): another \(fact)"
    case ("major version", let applied?, let found?):
      return "the definitions were noted under PostgreSQL \(applied), and this is \(found)"
    case ("valid", _, _): return "\(object): not valid, so rows may break it"
    case ("enabled", _, "D"): return "\(object): switched off"
    case ("enabled", "A", _): return "\(object): not ENABLE ALWAYS"
    case (_, "yes", nil): return "\(object): no longer: \(fact)"
    case (_, nil, let found?):
      return found == "yes" ? "\(object): \(fact)" : "\(object): \(fact) is \(found)"
    case (_, let applied?, let found):
      return
        "\(object): \(fact) is \(found.map(Self.brief) ?? "missing"), was laid as \(Self.brief(applied))"
    case (_, nil, nil): return object
    }
  }

  private static func brief(_ value: String) -> String {
    value.isEmpty ? "empty" : value.count > 120 ? value.prefix(120) + "…" : value
  }
}

extension Definitions {
  /// The constraints and indexes of the eight tables that are not as they were applied: a repair may put them back.
  package static func repairable(_ applied: Definitions, _ found: Definitions) -> [Fault] {
    faults(applied: applied, found: found).filter { fault in
      (fault.object.hasPrefix("constraint ") || fault.object.hasPrefix("index "))
        && fault.object.contains(" on public.")
    }
  }
}

// MARK: - Reading

extension Definitions {
  /// What was laid and what is there, in one query and one transaction.
  ///
  /// - Returns: Nil as what was laid where nothing is noted.
  package static func read(
    on connection: Connection
  ) throws(PostgresError) -> (applied: Definitions?, found: Definitions) {
    let isThere = try connection.query(
      Statement(
        """
        SELECT to_regclass('ledger_guard.definitions') IS NOT NULL,
          to_regclass('ledger.migrations') IS NOT NULL
        """))
    let recorded =
      "SELECT 'noted ' || d.object, false, d.fact, d.value FROM ledger_guard.definitions AS d"
    let sql =
      query + (try isThere.bool(0, 0) ? " UNION ALL " + recorded : "")
      + (try isThere.bool(0, 1) ? " UNION ALL " + migrations : "")
    // The catalogue prints names by the path, which is put back for whoever has a transaction open.
    let path = try connection.query(Statement("SELECT current_setting('search_path')"))
    var before = Parameters()
    before.text(try path.text(0, 0))
    let answers = try connection.pipeline([
      (Statement("SELECT set_config('search_path', 'pg_catalog, pg_temp', true)"), Parameters()),
      (Statement(sql), parameters),
      (Statement("SELECT set_config('search_path', $1::text, true)"), before),
    ])
    return try sorted(answers[1])
  }

  private static func sorted(
    _ rows: Rows
  ) throws(PostgresError) -> (applied: Definitions?, found: Definitions) {
    var (recorded, found) = (Definitions(), Definitions())
    for row in 0..<rows.count {
      let (object, fact, value) = (
        try rows.text(row, 0), try rows.text(row, 2), try rows.text(row, 3)
      )
      if object.hasPrefix("noted ") {
        recorded.facts[String(object.dropFirst(6)), default: [:]][fact] = value
      } else {
        found.facts[object, default: [:]][fact] = value
        if try rows.bool(row, 1) { found.whole.insert(object) }
      }
    }
    return (recorded.facts.isEmpty ? nil : recorded.expanded(to: found.partitions), found)
  }

  private static var parameters: Parameters {
    var parameters = Parameters()
    // Their names alone, whether or not they are written with their schema.
    let eight = RowType.allCases.filter(\.isOfTheEight).map { rowType in
      TableText.of(rowType).table.split(separator: ".").last.map(String.init) ?? ""
    }
    parameters.texts(eight + SchemaFile.names(in: "views/ops_"))
    parameters.texts(SchemaFile.names(in: "functions/predecessor/ops_"))
    parameters.texts(roles)
    return parameters
  }
}

// MARK: - Partitions

extension Definitions {
  private static let anyPartition = "events_p*"

  /// `events_p000000000000`, …
  fileprivate var partitions: [String] {
    facts.keys.compactMap { object in
      guard object.hasPrefix("table ledger.events_p") else { return nil }
      return String(object.dropFirst("table ledger.".count))
    }.sorted()
  }

  /// What was noted of any partition, as each of them should have it.
  fileprivate func expanded(to partitions: [String]) -> Definitions {
    var all = Definitions(facts: [:], whole: whole)
    for (object, facts) in facts {
      guard object.contains(Self.anyPartition) else {
        all.facts[object] = facts
        continue
      }
      for partition in partitions {
        all.facts[object.replacing(Self.anyPartition, with: partition)] =
          facts.mapValues { $0.replacing(Self.anyPartition, with: partition) }
      }
    }
    return all
  }

  /// The partitions as one.
  func contracted() -> Definitions {
    let partitions = partitions
    var all = Definitions()
    for (object, facts) in facts {
      guard let partition = partitions.first(where: object.contains) else {
        all.facts[object] = facts
        continue
      }
      all.facts[object.replacing(partition, with: Self.anyPartition)] =
        facts.mapValues { $0.replacing(partition, with: Self.anyPartition) }
    }
    return all
  }

  /// Notes them as what was laid. Only who laid the schema may.
  func note(on connection: Connection) throws(PostgresError) {
    var (objects, names, values) = (
      ArrayBuilder(.text), ArrayBuilder(.text), ArrayBuilder(.text)
    )
    for (object, facts) in contracted().facts.sorted(by: { $0.key < $1.key }) {
      for (fact, value) in facts.sorted(by: { $0.key < $1.key }) {
        objects.text(object)
        names.text(fact)
        values.text(value)
      }
    }
    var parameters = Parameters()
    parameters.array(objects)
    parameters.array(names)
    parameters.array(values)
    try connection.execute("DELETE FROM ledger_guard.definitions")
    try connection.query(
      Statement(
        """
        INSERT INTO ledger_guard.definitions (object, fact, value)
        SELECT v.object, v.fact, v.value FROM unnest($1::text[], $2::text[], $3::text[]) AS v (object, fact, value)
        """), parameters)
  }
}
