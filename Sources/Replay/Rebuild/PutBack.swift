import Ledger
import Log
import Postgres

/// Puts back constraints and indexes of the eight tables that differ from the schema. After a repair, the rows may no
/// longer break them.
enum PutBack {
  /// - Parameter left: What the repair has left off.
  /// - Returns: What is now missing or NOT VALID. Of the schema's own constraints and indexes, that includes what others
  ///   dropped.
  static func run(_ session: Session, after left: [DroppedConstraints] = []) throws(OpsError)
    -> [DroppedConstraints]
  {
    let connection = try session.connection()
    return try onDatabase { () throws(PostgresError) in
      var (applied, found) = try Definitions.read(on: connection)
      guard let applied else { return left }
      var reasons = Dictionary(left.map { ($0.object, $0.why) }) { first, _ in first }
      let wrong = Definitions.repairable(applied, found)
      if !wrong.isEmpty {
        do throws(PostgresError) {
          try connection.execute(
            "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL ROLE opsledger_repair")
          let failures = try SchemaRepair(wrong, applied: applied, found: found).run(on: connection)
          try connection.execute("COMMIT")
          for (object, error) in failures { reasons[object] = error.reason }
        } catch {
          try connection.rollbackIfOpen()
          guard error.kind == .server else { throw error }
          for fault in wrong { reasons[fault.object] = reasons[fault.object] ?? error.message }
        }
        found = try Definitions.read(on: connection).found
      }
      // This function changed nothing of an operator's, and no trigger.
      return left.filter { applied.facts[$0.object] == nil || $0.kind == .trigger }
        + Set(Definitions.repairable(applied, found).map(\.object)).sorted().compactMap { object in
          DroppedConstraints(
            object, applied.facts[object] ?? [:], isThere: found.facts[object] != nil,
            why: reasons[object] ?? "it was not put back")
        }
    }
  }
}

extension DroppedConstraints {
  /// The name that ``Definitions`` uses.
  var object: String {
    switch kind {
    case .notValid, .constraint: "constraint \(name) on \(table)"
    case .index: "index \(name.split(separator: ".").last ?? "") on \(table)"
    case .notNull: "column \(name) of \(table)"
    case .trigger: "trigger \(name) on \(table)"
    }
  }

  /// A constraint or index of the schema.
  fileprivate init?(_ object: String, _ applied: Definitions.Facts, isThere: Bool, why: String) {
    let words = object.split(separator: " ")
    guard words.count == 4, let definition = applied["definition"] else { return nil }
    let (name, table) = (String(words[1]), String(words[3]))
    if words[0] == "index" {
      self.init(kind: .index, table: table, name: name, statement: definition, why: why)
    } else if isThere {
      self.init(
        kind: .notValid, table: table, name: name,
        statement: "ALTER TABLE \(table) VALIDATE CONSTRAINT \(name)", why: why)
    } else {
      self.init(
        kind: .constraint, table: table, name: name,
        statement: "ALTER TABLE \(table) ADD CONSTRAINT \(name) \(definition)", why: why)
    }
  }
}

/// Puts primary keys back before a repair looks at the tables: a repair finds rows by their keys.
enum PrimaryKeys {
  /// Keeps one row of each key. The repair then compares that row with the log.
  static func putBack(on connection: Connection) throws(PostgresError) {
    var parameters = Parameters()
    parameters.texts(TableText.eight.map(\.table))
    let rows = try connection.query(withoutKey, parameters)
    for row in 0..<rows.count {
      let table = try rows.text(row, 0)
      guard let key = TableText.eight.first(where: { $0.table == table })?.key else { continue }
      try connection.execute(
        """
        DELETE FROM public.\(table) WHERE \(key) IS NULL;
        DELETE FROM public.\(table) AS a USING public.\(table) AS b
        WHERE a.\(key) = b.\(key) AND a.ctid > b.ctid;
        ALTER TABLE public.\(table) ADD CONSTRAINT \(table)_pkey PRIMARY KEY (\(key))
        """)
    }
  }

  private static let withoutKey = Statement(
    """
    SELECT n.name FROM unnest($1::text[]) AS n (name)
    WHERE NOT EXISTS (SELECT FROM pg_constraint AS c
      WHERE c.conrelid = to_regclass('public.' || n.name) AND c.contype = 'p')
    """)
}

extension OpsError {
  /// Whether a constraint, index or trigger of the tables refused a row, or changed it.
  var isOfTheTables: Bool {
    switch cause {
    case .tablesChanged: true
    case .database(let fault):
      switch fault.errorClass {
      case .connection, .rollback, .resources, .intervention, .system, .internal: false
      case .data, .constraint, .syntax, .limits, .state, nil: !fault.isLockTimeout
      }
    case .store, .unreadableLine, nil: false
    }
  }
}
