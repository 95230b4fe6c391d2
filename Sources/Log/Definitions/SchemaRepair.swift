import Ledger
package import Postgres

/// Repairs objects that are not as they were applied.
///
/// Each object is repaired by itself. So an object that cannot be repaired, such as a constraint that rows violate,
/// does not stop the others.
package struct SchemaRepair {
  /// The repairs. Each is a list of ways, of which the next is tried when one fails.
  private let repairs: [(object: String, ways: [[String]])]

  package init(_ faults: [Definitions.Fault], applied: Definitions, found: Definitions) {
    let objects = Set(faults.map(\.object))
    repairs = objects.sorted { (Self.rank($0, applied), $0) < (Self.rank($1, applied), $1) }.flatMap
    {
      object in
      Repairs(
        object: object, faults: faults.filter { $0.object == object },
        applied: applied.facts[object],
        found: found.facts[object]
      ).repairs.map { (object: object, ways: $0) }
    }
  }

  /// Runs in the caller's transaction, which must be allowed to change the schema.
  ///
  /// - Returns: By object, why the first way to repair it failed.
  /// - Throws: An error that no object causes, such as a lost connection or a lock timeout.
  package func run(on connection: Connection) throws(PostgresError) -> [String: PostgresError] {
    var failures: [String: PostgresError] = [:]
    for repair in repairs {
      for way in repair.ways {
        do throws(PostgresError) {
          try connection.execute("SAVEPOINT repair")
          // As single statements, so that a name from the catalogue cannot add a second command.
          for statement in way { try connection.query(Statement(statement)) }
          try connection.execute("RELEASE repair")
          break
        } catch {
          guard error.isOfTheStatement else { throw error }
          try connection.execute("ROLLBACK TO repair; RELEASE repair")
          failures[repair.object] = failures[repair.object] ?? error
        }
      }
    }
    return failures
  }

  /// The order of repairs: owners before what they own, keys before references to them.
  private static func rank(_ object: String, _ applied: Definitions) -> Int {
    let kinds = [
      "role ", "schema ", "type ", "table ", "sequence ", "view ", "function ", "constraint ",
      "index ", "trigger ", "migration ",
    ]
    let kind = kinds.firstIndex(where: object.hasPrefix) ?? kinds.count
    let definition = applied.facts[object]?["definition"] ?? ""
    return 2 * kind + (definition.hasPrefix("FOREIGN KEY") ? 1 : 0)
  }
}

extension PostgresError {
  /// The server's message, with the row that it names.
  package var reason: String { message + (detail.map { ": " + $0 } ?? "") }

  /// Whether the statement itself is at fault, and not a lost connection, a lock, a shutdown or a full disk.
  package var isOfTheStatement: Bool {
    kind == .server && !isLockTimeout
      && !["40", "53", "57", "58", "XX"].contains(sqlstate.prefix(2))
  }
}

private struct Repairs {
  let object: String
  let faults: [Definitions.Fault]
  let applied: Definitions.Facts?
  let found: Definitions.Facts?

  private var kind: Substring { object.prefix { $0 != " " } }
  /// The object without its kind: `ledger.allocate_entry()`, `ops_policy_pkey on public.ops_policy`.
  private var name: String { String(object.dropFirst(kind.count + 1)) }
  /// For a part of a table: the part's own name, and the table's.
  private var part: String { name.split(last: " on ")?.0 ?? name }
  private var table: String { name.split(last: " on ")?.1 ?? "" }

  /// The repairs, each with the ways to do it; none for what only a person can repair: the log, or a column of another
  /// type.
  var repairs: [[[String]]] {
    guard let applied else { return drop.map { [[[$0]]] } ?? [] }
    switch kind {
    case "constraint": return [constraint(applied)]
    case "index": return [index(applied)]
    case "trigger": return [[trigger(applied)]]
    case "migration": return [[[migration(applied)]]]
    default: return found == nil ? making(applied) : each(faults)
    }
  }

  /// Missing columns before the other facts of columns.
  private func each(_ faults: [Definitions.Fault]) -> [[[String]]] {
    let columns = faults.filter { $0.fact?.hasPrefix("type of ") == true }
    return (columns + faults.filter { !columns.contains($0) }).compactMap {
      fact($0).map { [[$0]] }
    }
  }

  /// Drops an object of somebody else from opsledger's schemas; but not a table or type, which may hold data.
  private var drop: String? {
    switch kind {
    case "trigger": "DROP TRIGGER \(part) ON \(table)"
    case "rule": "DROP RULE \(part) ON \(table)"
    case "policy": "DROP POLICY \(part) ON \(table)"
    case "constraint": "ALTER TABLE \(table) DROP CONSTRAINT \(part)"
    case "index": "DROP INDEX \(indexName)"
    case "function": "DROP \(routine) \(name)"
    case "cast": "DROP CAST \(name)"
    case "view": "DROP VIEW \(name)"
    // `event trigger opsledger_…`
    case "event": "DROP EVENT \(name)"
    default: nil
    }
  }

  private var routine: String {
    found?["kind"].flatMap { ["p": "PROCEDURE", "a": "AGGREGATE"][$0] } ?? "FUNCTION"
  }

  private var indexName: String { (table.split(last: ".")?.0 ?? "public") + "." + part }

  private func constraint(_ applied: Definitions.Facts) -> [[String]] {
    guard let definition = applied["definition"] else { return [] }
    if found != nil, faults.allSatisfy({ $0.fact == "valid" }), !definition.hasIndex {
      return [["ALTER TABLE \(table) VALIDATE CONSTRAINT \(part)"]]
    }
    let drop = "ALTER TABLE \(table) DROP CONSTRAINT IF EXISTS \(part)"
    let add = "ALTER TABLE \(table) ADD CONSTRAINT \(part) \(definition)"
    let whole = [drop, add]
    return definition.hasIndex ? [whole] : [whole, [drop, add + " NOT VALID"]]
  }

  private func index(_ applied: Definitions.Facts) -> [[String]] {
    applied["definition"].map { [["DROP INDEX IF EXISTS \(indexName)", $0]] } ?? []
  }

  private func trigger(_ applied: Definitions.Facts) -> [String] {
    let modes = ["A": "ENABLE ALWAYS", "O": "ENABLE", "R": "ENABLE REPLICA", "D": "DISABLE"]
    guard let definition = applied["definition"],
      let mode = applied["enabled"].flatMap({ modes[$0] })
    else { return [] }
    let enable = "ALTER TABLE \(table) \(mode) TRIGGER \(part)"
    if found?["definition"] == definition { return [enable] }
    return ["DROP TRIGGER IF EXISTS \(part) ON \(table)", definition, enable]
  }

  // MARK: What is missing

  /// Creates a missing object. It is empty: its content follows from the log, or was needed for a while only.
  private func making(_ applied: Definitions.Facts) -> [[[String]]] {
    let create: String? =
      switch kind {
      case "table": applied["kind"] == "r" ? table(applied) : nil
      case "sequence": sequence(applied)
      case "type":
        applied["labels"].map {
          "CREATE TYPE \(name) AS ENUM ('\($0.replacing(", ", with: "', '"))')"
        }
      default: nil
      }
    guard let create else { return [] }
    let rest = applied.filter { fact, value in
      !fact.hasPrefix("type of ") && !value.isEmpty
        && (kind != "sequence" || fact.contains("owner"))
    }
    return [[[create]]]
      + each(
        rest.sorted { $0.key < $1.key }.map {
          Definitions.Fault(object: "\(kind) \(name)", fact: $0.key, applied: $0.value, found: nil)
        })
  }

  private func table(_ applied: Definitions.Facts) -> String? {
    guard let names = applied["columns"] ?? applied["columns as laid"] else { return nil }
    let columns = names.split(separator: ", ").compactMap { column in
      applied["type of \(column)"].map {
        "\(column) \($0)" + identity(applied["making of \(column)"])
      }
    }
    return "CREATE\(persistence(applied)) TABLE \(name) (\(columns.joined(separator: ", ")))"
  }

  private func identity(_ making: String?) -> String {
    switch making {
    case "a": " GENERATED ALWAYS AS IDENTITY"
    case "d": " GENERATED BY DEFAULT AS IDENTITY"
    default: ""
    }
  }

  /// An identity column's sequence exists since its table was created.
  private func sequence(_ applied: Definitions.Facts) -> String {
    let clauses = applied.sorted { $0.key < $1.key }.compactMap { sequence($0.key, $0.value) }
    return "CREATE\(persistence(applied)) SEQUENCE IF NOT EXISTS \(name) "
      + clauses.joined(separator: " ")
  }

  private func persistence(_ applied: Definitions.Facts) -> String {
    applied["persistence"] == "u" ? " UNLOGGED" : ""
  }

  private func migration(_ applied: Definitions.Facts) -> String {
    func literal(_ fact: String?) -> String {
      fact.map { "'\($0.replacing("'", with: "''"))'" } ?? "NULL"
    }
    return "INSERT INTO ledger.migrations (name, sha256, oldest_binary) VALUES (\(literal(name)), "
      + "decode(\(literal(applied["sha256"])), 'hex'), \(literal(applied["oldest release"]))) "
      + "ON CONFLICT (name) DO UPDATE SET sha256 = EXCLUDED.sha256, oldest_binary = EXCLUDED.oldest_binary"
  }

  // MARK: Facts of tables, sequences, functions, schemas and roles

  private func fact(_ fault: Definitions.Fault) -> String? {
    guard let fact = fault.fact else { return nil }
    if let (role, right) = fact.split(last: " may ") { return grant(role, right, fault) }
    if kind == "role" {
      if fact == "attributes", let value = fault.applied { return "ALTER ROLE \(name) \(value)" }
      guard let (_, group) = fact.split(last: "member of "), fault.applied != nil else {
        return nil
      }
      return "GRANT \(group) TO \(name)"
    }
    if let value = fault.applied, kind == "sequence", let clause = sequence(fact, value) {
      return "ALTER SEQUENCE \(name) \(clause)"
    }
    if fact == "entries", fault.found == nil,
      let first = name.split(last: "_p").flatMap({ Int64($0.1) })
    {
      return "ALTER TABLE ledger.events ATTACH PARTITION \(name) "
        + "FOR VALUES FROM (\(first)) TO (\(first + EntryNumber.span))"
    }
    if let (_, column) = fact.split(last: "type of "), fault.found == nil, let type = fault.applied
    {
      return alterTable("ADD COLUMN \(column) \(type)")
    }
    if let (_, column) = fact.split(last: "NOT NULL of ") {
      return alterTable("ALTER \(column) \(fault.applied == "true" ? "SET" : "DROP") NOT NULL")
    }
    if let (_, column) = fact.split(last: "default of "), let value = fault.applied {
      return alterTable(
        "ALTER \(column) " + (value.isEmpty ? "DROP DEFAULT" : "SET DEFAULT \(value)"))
    }
    return setting(fact, fault.applied)
  }

  private func setting(_ fact: String, _ applied: String?) -> String? {
    switch fact {
    case "owner":
      let owner = applied == "a superuser" ? "CURRENT_USER" : applied
      return owner.map {
        "ALTER \(kind == "function" ? routine : kind.uppercased()) \(name) OWNER TO \($0)"
      }
    case "row security":
      return alterTable(
        applied == "true" ? "ENABLE ROW LEVEL SECURITY" : "DISABLE ROW LEVEL SECURITY")
    case "forced row security":
      return alterTable(
        applied == "true" ? "FORCE ROW LEVEL SECURITY" : "NO FORCE ROW LEVEL SECURITY")
    case "its triggers":
      return
        "UPDATE pg_catalog.pg_class SET relhastriggers = true WHERE oid = '\(name)'::pg_catalog.regclass"
    case "its checks":
      return
        "UPDATE pg_catalog.pg_class AS r SET relchecks = (SELECT count(*) FROM pg_catalog.pg_constraint AS c "
        + "WHERE c.conrelid = r.oid AND c.contype = 'c') WHERE oid = '\(name)'::pg_catalog.regclass"
    case "persistence": return alterTable(applied == "p" ? "SET LOGGED" : "SET UNLOGGED")
    case "replica identity": return applied == "d" ? alterTable("REPLICA IDENTITY DEFAULT") : nil
    default: return nil
    }
  }

  private func alterTable(_ what: String) -> String { "ALTER TABLE \(name) \(what)" }

  private func sequence(_ fact: String, _ value: String) -> String? {
    switch fact {
    case "AS", "START", "INCREMENT", "MINVALUE", "MAXVALUE", "CACHE": "\(fact) \(value)"
    case "CYCLE": value == "true" ? "CYCLE" : "NO CYCLE"
    default: nil
    }
  }

  private func grant(_ role: String, _ right: String, _ fault: Definitions.Fault) -> String {
    let who = role == "its owner" ? (found ?? applied)?["owner"] ?? "CURRENT_USER" : role
    let what =
      switch kind {
      case "sequence": "SEQUENCE \(name)"
      case "function": "\(routine) \(name)"
      case "schema": "SCHEMA \(name)"
      default: "TABLE \(name)"
      }
    let grantee = who == "a superuser" ? "CURRENT_USER" : who
    guard let applied = fault.applied else { return "REVOKE \(right) ON \(what) FROM \(grantee)" }
    return "GRANT \(right) ON \(what) TO \(grantee)"
      + (applied == "yes" ? "" : " WITH GRANT OPTION")
  }
}

extension String {
  /// Whether a constraint with this definition has an index, and therefore cannot be NOT VALID.
  fileprivate var hasIndex: Bool {
    hasPrefix("PRIMARY KEY") || hasPrefix("UNIQUE") || hasPrefix("EXCLUDE")
  }

  /// The parts before and after the last `separator`; nil without one.
  fileprivate func split(last separator: String) -> (String, String)? {
    guard let range = ranges(of: separator).last else { return nil }
    return (String(self[..<range.lowerBound]), String(self[range.upperBound...]))
  }
}
