import Ledger
import Log
import Postgres

/// Entries that were recorded under numbers of the sealed prefix. That happens after somebody set the sequence of entry
/// numbers back. No store has these entries, and no later push reads them.
///
/// The last recorded root says how many events the log had up to its entry.
struct LateEntries {
  /// The entry of the last recorded root, and how many events the log has in excess of its count.
  private let entry: Int64
  private let excess: Int64
  private let named: [(entry: Int64, recorded: String, sealed: String)]

  /// - Returns: Nil if there are none.
  init?(_ log: LogReader) throws(OpsError) {
    let rows = try log.query(Self.excess)
    if rows.isEmpty { return nil }
    (entry, excess) = try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), try rows.int8(0, 1))
    }
    guard excess > 0 else { return nil }
    let late = try log.query(Self.late, Parameters(entry))
    named = try onDatabase { () throws(PostgresError) in
      try (0..<late.count).map { (row) throws(PostgresError) in
        (try late.int8(row, 0), try late.text(row, 1), try late.text(row, 2))
      }
    }
  }

  private static let excess = Statement(
    """
    SELECT c.entry, (SELECT count(*) FROM ledger.events AS e WHERE e.entry <= c.entry)
      + (SELECT coalesce(sum(d.events), 0) FROM ledger.confirmed_archived_partitions() AS d)::bigint - c.size
    FROM ledger.checkpoints AS c WHERE c.root IS NOT NULL ORDER BY c.entry DESC LIMIT 1
    """)

  private static let late = Statement(
    """
    SELECT e.entry, e.recorded_at::text, s.sealed_at::text
    FROM ledger.events AS e CROSS JOIN LATERAL (
      SELECT c.sealed_at FROM ledger.checkpoints AS c
      WHERE c.entry >= e.entry AND c.root IS NULL ORDER BY c.entry LIMIT 1) AS s
    WHERE e.entry <= $1::bigint AND e.index = 0 AND e.recorded_at > s.sealed_at
    ORDER BY e.entry LIMIT 1000
    """)

  var differences: [Difference] {
    guard !named.isEmpty else {
      return [
        Difference(
          table: "ledger.events", row: "entries up to \(entry)", column: "*",
          expected: "the events that were pushed", found: "\(excess) more")
      ]
    }
    return named.map {
      Difference(
        table: "ledger.events", row: "entry \($0.entry)", column: "*",
        expected: "no event, since the number was sealed at \($0.sealed)",
        found: "an event recorded at \($0.recorded)")
    }
  }

  var warning: String {
    "\(excess) events were recorded under entry numbers that were sealed before: no store has them, and no push "
      + "will store them; `opsledger archive fork` pushes the whole log to a new store"
  }
}
