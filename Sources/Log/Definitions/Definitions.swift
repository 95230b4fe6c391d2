import Ledger
package import Postgres

/// The schema's objects, as facts of the catalogue. `ledger_guard.definitions` keeps the facts as `init` applied them,
/// and ``query`` reads them as they are now.
///
/// The table is a superuser's, and only `init` writes it. It has the log's partitions, which come and go, once: as
/// `events_p*`.
package struct Definitions: Equatable, Sendable {
  package typealias Facts = [String: String]

  /// By object, such as `function ledger.allocate_entry()` or `constraint ops_policy_pkey on public.ops_policy`.
  package var facts: [String: Facts] = [:]
  /// The objects of schemas in which nobody else may have any.
  var whole: Set<String> = []

  /// A fact or an object that is not as it was applied.
  package struct Fault: Equatable, Sendable {
    package let object: String
    /// Nil if the object is missing, or should not be there.
    let fact: String?
    let applied: String?
    let found: String?
  }

  /// What is not as it was applied, in the order of the objects' names.
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

  /// The order of columns is not compared, because operators may add some. It serves to create a missing table.
  private static func isOperators(_ fact: String) -> Bool { fact == "columns as laid" }

  /// Operators may grant reading to whom they like.
  private static func isReading(_ fact: String) -> Bool {
    fact.contains(" may SELECT") || fact.hasSuffix(" may USAGE")
  }

  private var majorVersion: String? { facts["server"]?["major version"] }
}

extension Definitions.Fault {
  /// `function ledger.now(): another body`.
  var text: String {
    guard let fact else {
      return applied == nil
        ? "\(object): opsledger's schema has no such object" : "\(object): missing"
    }
    switch (fact, applied, found) {
    case ("body", _, _), ("query", _, _): return "\(object): another \(fact)"
    case ("major version", let applied?, let found?):
      return
        "the definitions were recorded under PostgreSQL \(applied), and this server is \(found)"
    case ("valid", _, _): return "\(object): not valid, so rows may violate it"
    case ("enabled", _, "D"): return "\(object): switched off"
    case ("enabled", "A", _): return "\(object): not ENABLE ALWAYS"
    case (_, "yes", nil): return "\(object): no longer: \(fact)"
    case (_, nil, let found?):
      return found == "yes" ? "\(object): \(fact)" : "\(object): \(fact) is \(found)"
    case (_, let applied?, let found):
      let found = found.map(Self.brief) ?? "missing"
      return "\(object): \(fact) is \(found), should be \(Self.brief(applied))"
    case (_, nil, nil): return object
    }
  }

  private static func brief(_ value: String) -> String {
    value.isEmpty ? "empty" : value.count > 120 ? value.prefix(120) + "…" : value
  }
}

extension Definitions {
  /// The differences from the schema that a repair may put back: constraints and indexes of the eight tables.
  package static func repairable(_ applied: Definitions, _ found: Definitions) -> [Fault] {
    faults(applied: applied, found: found).filter { fault in
      (fault.object.hasPrefix("constraint ") || fault.object.hasPrefix("index "))
        && fault.object.contains(" on public.")
    }
  }
}

extension Definitions {
  /// The definitions as they were applied, and as they are now, in one query and one transaction.
  ///
  /// - Returns: As `applied` nil if `init` has recorded none.
  package static func read(
    on connection: Connection
  ) throws(PostgresError) -> (applied: Definitions?, found: Definitions) {
    let isThere = try connection.query(
      Statement(
        """
        SELECT to_regclass('ledger_guard.definitions') IS NOT NULL,
          to_regclass('ledger.migrations') IS NOT NULL, current_setting('search_path')
        """))
    let recordedRows =
      "SELECT 'noted ' || d.object, false, d.fact, d.value FROM ledger_guard.definitions AS d"
    let sql =
      query + (try isThere.bool(0, 0) ? " UNION ALL " + recordedRows : "")
      + (try isThere.bool(0, 1) ? " UNION ALL " + migrations : "")
    // The caller may have a transaction open, so the path is put back.
    let answers = try connection.pipeline([
      (Statement("SELECT set_config('search_path', 'pg_catalog, pg_temp', true)"), Parameters()),
      (Statement(sql), parameters),
      (
        Statement("SELECT set_config('search_path', $1::text, true)"),
        Parameters(try isThere.text(0, 2))
      ),
    ])
    let rows = answers[1]
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
    // The names without their schema, which some have.
    let eight = RowType.allCases.filter(\.isOfTheEight).map { rowType in
      TableText.of(rowType).table.split(separator: ".").last.map(String.init) ?? ""
    }
    parameters.texts(eight + SchemaFile.names(in: "views/ops_"))
    parameters.texts(SchemaFile.names(in: "functions/predecessor/ops_"))
    parameters.texts(roles)
    return parameters
  }
}

extension Definitions {
  private static let anyPartition = "events_p*"

  /// `events_p000000000000`, …
  fileprivate var partitions: [String] {
    facts.keys.compactMap { object in
      guard object.hasPrefix("table ledger.events_p") else { return nil }
      return String(object.dropFirst("table ledger.".count))
    }.sorted()
  }

  /// The same, with the facts of any partition repeated for each of these.
  fileprivate func expanded(to partitions: [String]) -> Definitions {
    var all = self
    for (object, facts) in facts where object.contains(Self.anyPartition) {
      all.facts[object] = nil
      for partition in partitions { all.add(object, facts, Self.anyPartition, as: partition) }
    }
    return all
  }

  /// The same, with all partitions as one.
  private func contracted() -> Definitions {
    let partitions = partitions
    var all = self
    for (object, facts) in facts {
      guard let partition = partitions.first(where: object.contains) else { continue }
      all.facts[object] = nil
      all.add(object, facts, partition, as: Self.anyPartition)
    }
    return all
  }

  private mutating func add(_ object: String, _ facts: Facts, _ name: String, as other: String) {
    self.facts[object.replacing(name, with: other)] =
      facts.mapValues { $0.replacing(name, with: other) }
  }

  /// Records the definitions as they were applied. Only a superuser may.
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
