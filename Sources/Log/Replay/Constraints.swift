import Ledger
package import Postgres

/// Foreign keys and secondary indexes of the eight tables, taken away for a bulk load and made again
/// in the same transaction, word for word as the catalogue prints them; and capture's triggers of
/// inserts, which are only in a COPY's way.
package struct Constraints {
  private let drops: [String]
  private let makes: [String]

  package init(
    of connection: Connection, liftingCapture: Bool
  ) throws(PostgresError) {
    let tables = NounName.allCases.filter(\.isOfTheEight).map { TableText.of($0).table }
    var parameters = Parameters()
    parameters.texts(tables)
    let rows = try connection.query(Self.find, parameters)
    var (drops, makes): ([String], [String]) = ([], [])
    var last: String?
    for row in 0..<rows.count {
      let (command, what) = (try rows.text(row, 0), try rows.text(row, 1))
      if command == last {
        drops[drops.count - 1] += ", " + what
      } else {
        drops.append(command + what)
      }
      last = command
      makes.append(try rows.text(row, 2))
    }
    if liftingCapture {
      drops.append("SELECT ledger_guard.lift_capture()")
      makes.append("SELECT ledger_guard.restore_capture()")
    }
    self.drops = drops
    self.makes = makes.reversed()
  }

  package func drop(on connection: Connection) throws(PostgresError) {
    for statement in drops { try connection.execute(statement) }
  }

  package func make(on connection: Connection) throws(PostgresError) {
    for statement in makes { try connection.execute(statement) }
  }

  /// Foreign keys first, since unique keys may serve them, and what one command can take away side by
  /// side: the guards look at the catalogue after each. Primary keys stay, and partial indexes, which
  /// hold few rows; so does an index that its table is clustered or replicated by, since making it again
  /// would not say so, and a unique key that a table of somebody else's refers to.
  private static let find = Statement(
    """
    WITH t AS (
      SELECT ('public.' || name)::regclass AS oid FROM unnest($1::text[]) AS n(name))
    SELECT format('ALTER TABLE %s ', c.conrelid::regclass), format('DROP CONSTRAINT %I', c.conname),
      format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname,
        pg_get_constraintdef(c.oid))
      || coalesce('; COMMENT ON CONSTRAINT ' || quote_ident(c.conname) || ' ON ' || c.conrelid::regclass
        || ' IS ' || quote_literal(obj_description(c.oid, 'pg_constraint')), ''),
      CASE c.contype WHEN 'f' THEN 1 ELSE 2 END, c.conname::text
    FROM pg_constraint AS c
    WHERE c.contype IN ('f', 'u') AND c.conparentid = 0 AND c.conrelid IN (SELECT oid FROM t)
      AND NOT EXISTS (SELECT FROM pg_index AS i
        WHERE i.indexrelid = c.conindid AND c.contype = 'u' AND (i.indisreplident OR i.indisclustered))
      AND NOT EXISTS (SELECT FROM pg_constraint AS o
        WHERE c.contype = 'u' AND o.contype = 'f' AND o.conindid = c.conindid
          AND o.conrelid NOT IN (SELECT oid FROM t))
    UNION ALL
    SELECT 'DROP INDEX ', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
      || coalesce('; COMMENT ON INDEX ' || i.indexrelid::regclass || ' IS '
        || quote_literal(obj_description(i.indexrelid, 'pg_class')), ''),
      3, i.indexrelid::regclass::text
    FROM pg_index AS i
    WHERE i.indrelid IN (SELECT oid FROM t) AND i.indpred IS NULL
      AND NOT i.indisreplident AND NOT i.indisclustered
      AND NOT EXISTS (SELECT FROM pg_constraint AS c
        WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
    ORDER BY 4, 1, 5
    """)
}
