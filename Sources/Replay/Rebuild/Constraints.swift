import JSON
import Ledger
import Log
package import Postgres

/// A constraint, index or trigger of the eight tables that is missing, NOT VALID or was not run, because rows of the log
/// break it.
public struct DroppedConstraints: Equatable, Sendable {
  public enum Kind: String, Sendable {
    /// A foreign key or CHECK that is NOT VALID. It applies to new rows only.
    case notValid = "not_valid"
    /// A constraint that is missing, since its kind cannot be NOT VALID.
    case constraint
    case index
    case notNull = "not_null"
    /// A trigger that was switched off while rows were written.
    case trigger
  }

  public let kind: Kind
  /// With its schema.
  public let table: String
  /// Of the constraint, index, trigger or column.
  public let name: String
  /// The SQL that puts it back, once the rows allow it.
  public let statement: String
  /// The database's message.
  public let why: String

  /// `constraint x on public.ops_missions is NOT VALID: …`.
  public var text: String {
    let tail = "\(why); once the rows allow it, run: \(statement)"
    return switch kind {
    case .notValid: "constraint \(name) on \(table) is NOT VALID: \(tail)"
    case .constraint: "constraint \(name) on \(table) was left off: \(tail)"
    case .index: "index \(name) on \(table) was left off: \(tail)"
    case .notNull: "column \(name) of \(table) may be NULL: \(tail)"
    case .trigger:
      "trigger \(name) on \(table) was not run for the rows written: the tables refused some of them"
    }
  }
}

extension [DroppedConstraints] {
  /// The form in which the log records them: without triggers, and without the reason, which may name a value that can
  /// be erased.
  var json: JSON {
    .array(
      filter { $0.kind != .trigger }.map {
        .object([
          "kind": .string($0.kind.rawValue), "table": .string($0.table), "name": .string($0.name),
          "statement": .string($0.statement),
        ])
      })
  }
}

/// Constraints, indexes and triggers of the eight tables that slow down many writes, or refuse rows. They are dropped and
/// made again in the same transaction, from the definitions that the catalogue prints. A constraint that the rows break
/// becomes NOT VALID or is left off, and is named.
package struct Constraints {
  package enum Extent: Sendable {
    /// Foreign keys, unique keys and secondary indexes on whole tables, which slow a bulk load down.
    case bulk
    /// The same, and capture's INSERT triggers, with which COPY into empty tables would write row by row.
    case empty
    /// Everything that could refuse a row, including constraints, indexes and triggers of operators.
    case all
    /// The same, for empty tables.
    case allEmpty

    var isEmpty: Bool { self == .empty || self == .allEmpty }
    var isAll: Bool { self == .all || self == .allEmpty }
  }

  private struct Part {
    let kind: DroppedConstraints.Kind
    let table: String
    let name: String
    let drop: String
    let make: String
    let comment: String
  }

  private let parts: [Part]
  private let extent: Extent

  package init(of connection: Connection, _ extent: Extent) throws(PostgresError) {
    self.extent = extent
    var parameters = Parameters()
    parameters.texts(TableText.eight.map(\.table))
    parameters.bool(extent.isAll)
    parameters.texts(TableText.columnsOfTheEight)
    let rows = try connection.query(Self.find, parameters)
    var parts: [Part] = []
    for row in 0..<rows.count {
      guard let kind = DroppedConstraints.Kind(rawValue: try rows.text(row, 0)) else { continue }
      parts.append(
        Part(
          kind: kind, table: try rows.text(row, 1), name: try rows.text(row, 2),
          drop: try rows.text(row, 3), make: try rows.text(row, 4), comment: try rows.text(row, 5)))
    }
    self.parts = parts
  }

  package func drop(on connection: Connection) throws(PostgresError) {
    // One command drops as many as it can: the guards look at the catalogue after each command.
    var statements: [String] = []
    var last = ""
    for part in parts {
      let command = String(part.drop.prefix { $0 != "\t" })
      let object = part.drop.dropFirst(command.count + 1)
      if command == last {
        statements[statements.count - 1] += ", " + object
      } else {
        statements.append(command + object)
      }
      last = command
    }
    for statement in statements { try connection.execute(statement) }
    if extent.isEmpty { try connection.execute("SELECT ledger_guard.lift_capture()") }
  }

  /// - Returns: What the rows break.
  package func make(on connection: Connection) throws(PostgresError) -> [DroppedConstraints] {
    if extent.isEmpty { try connection.execute("SELECT ledger_guard.restore_capture()") }
    var left: [DroppedConstraints] = []
    for part in parts.reversed() {
      do throws(PostgresError) {
        try connection.execute(
          "SAVEPOINT part; \(part.make)\(part.comment.isEmpty ? "" : "; " + part.comment); RELEASE part"
        )
        if part.kind == .trigger { left.append(Self.droppedConstraints(part, .trigger, "")) }
      } catch {
        guard error.isOfTheStatement else { throw error }
        try connection.execute("ROLLBACK TO part; RELEASE part")
        left.append(try weaker(part, error, on: connection))
      }
    }
    return left
  }

  private func weaker(
    _ part: Part, _ error: PostgresError, on connection: Connection
  ) throws(PostgresError) -> DroppedConstraints {
    let why = error.reason
    guard part.kind == .notValid else { return Self.droppedConstraints(part, part.kind, why) }
    do throws(PostgresError) {
      try connection.execute("SAVEPOINT part; \(part.make) NOT VALID; RELEASE part")
      return DroppedConstraints(
        kind: .notValid, table: part.table, name: part.name,
        statement: "ALTER TABLE \(part.table) VALIDATE CONSTRAINT \(part.name)", why: why)
    } catch {
      guard error.isOfTheStatement else { throw error }
      try connection.execute("ROLLBACK TO part; RELEASE part")
      return Self.droppedConstraints(part, .constraint, why)
    }
  }

  private static func droppedConstraints(
    _ part: Part, _ kind: DroppedConstraints.Kind, _ why: String
  ) -> DroppedConstraints {
    DroppedConstraints(
      kind: kind, table: part.table, name: part.name, statement: part.make, why: why)
  }

  /// Foreign keys first, since they need the unique keys. Primary keys stay.
  ///
  /// Under `bulk` more stays: partial indexes, which hold few rows; an index that its table is clustered or replicated
  /// by; a unique key that a foreign key of another table needs.
  private static let find = Statement(
    """
    WITH t AS (
      SELECT ('public.' || name)::regclass AS oid FROM unnest($1::text[]) AS n(name)
    ), part AS (
      SELECT CASE WHEN c.contype IN ('f', 'c') THEN 'not_valid' ELSE 'constraint' END AS kind, c.conrelid AS holder,
        quote_ident(c.conname) AS name,
        format(E'ALTER TABLE %s \\tDROP CONSTRAINT %I', c.conrelid::regclass, c.conname) AS drop,
        format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname,
          pg_get_constraintdef(c.oid)) AS make,
        coalesce('COMMENT ON CONSTRAINT ' || quote_ident(c.conname) || ' ON ' || c.conrelid::regclass || ' IS '
          || quote_literal(obj_description(c.oid, 'pg_constraint')), '') AS comment,
        CASE c.contype WHEN 'f' THEN 1 ELSE 2 END AS rank
      FROM pg_constraint AS c
      WHERE c.conparentid = 0 AND c.coninhcount = 0 AND (
        c.contype IN ('f', 'u') AND c.conrelid IN (SELECT oid FROM t)
          AND ($2::boolean OR NOT EXISTS (SELECT FROM pg_index AS i
            WHERE i.indexrelid = c.conindid AND c.contype = 'u' AND (i.indisreplident OR i.indisclustered))
          AND NOT EXISTS (SELECT FROM pg_constraint AS o
            WHERE c.contype = 'u' AND o.contype = 'f' AND o.conindid = c.conindid
              AND o.conrelid NOT IN (SELECT oid FROM t)))
        -- The schema's own CHECKs stay: capture records no row that breaks them.
        OR $2::boolean AND c.contype IN ('c', 'x') AND c.conrelid IN (SELECT oid FROM t) AND NOT EXISTS (
          SELECT FROM ledger_guard.definitions AS d WHERE d.object = format('constraint %I on public.%I', c.conname,
            (SELECT r.relname FROM pg_class AS r WHERE r.oid = c.conrelid)))
        OR $2::boolean AND c.contype = 'f' AND c.confrelid IN (SELECT oid FROM t)
          AND pg_has_role(current_user, (SELECT r.relowner FROM pg_class AS r WHERE r.oid = c.conrelid), 'USAGE'))
      UNION ALL
      SELECT 'index', i.indrelid, i.indexrelid::regclass::text, E'DROP INDEX \\t' || i.indexrelid::regclass,
        pg_get_indexdef(i.indexrelid)
          || CASE WHEN i.indisclustered THEN format('; ALTER TABLE %s CLUSTER ON %I', i.indrelid::regclass, x.relname)
            ELSE '' END
          || CASE WHEN i.indisreplident THEN format('; ALTER TABLE %s REPLICA IDENTITY USING INDEX %I',
            i.indrelid::regclass, x.relname) ELSE '' END,
        coalesce('COMMENT ON INDEX ' || i.indexrelid::regclass || ' IS '
          || quote_literal(obj_description(i.indexrelid, 'pg_class')), ''), 3
      FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
      WHERE i.indrelid IN (SELECT oid FROM t)
        AND ($2::boolean OR i.indpred IS NULL AND NOT i.indisreplident AND NOT i.indisclustered)
        AND NOT EXISTS (SELECT FROM pg_constraint AS c
          WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
      UNION ALL
      SELECT 'not_null', a.attrelid, quote_ident(a.attname),
        format(E'ALTER TABLE %s \\tALTER %I DROP NOT NULL', a.attrelid::regclass, a.attname),
        format('ALTER TABLE %s ALTER %I SET NOT NULL', a.attrelid::regclass, a.attname), '', 4
      FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
      WHERE $2::boolean AND a.attrelid IN (SELECT oid FROM t) AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attnotnull AND a.attidentity = '' AND NOT c.relname || '.' || a.attname = ANY ($3::text[])
        AND NOT EXISTS (SELECT FROM pg_index AS i
          WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey))
      UNION ALL
      SELECT 'trigger', g.tgrelid, quote_ident(g.tgname),
        format(E'ALTER TABLE %s \\tDISABLE TRIGGER %I', g.tgrelid::regclass, g.tgname),
        format('ALTER TABLE %s ENABLE %sTRIGGER %I', g.tgrelid::regclass,
          CASE g.tgenabled WHEN 'A' THEN 'ALWAYS ' WHEN 'R' THEN 'REPLICA ' ELSE '' END, g.tgname), '', 5
      FROM pg_trigger AS g JOIN pg_proc AS p ON p.oid = g.tgfoid
      WHERE $2::boolean AND g.tgrelid IN (SELECT oid FROM t) AND NOT g.tgisinternal AND g.tgenabled <> 'D'
        AND p.pronamespace <> 'ledger'::regnamespace
    )
    SELECT p.kind, p.holder::regclass::text, p.name, p.drop, p.make, p.comment
    FROM part AS p ORDER BY p.rank, split_part(p.drop, E'\\t', 1), p.name
    """)
}
