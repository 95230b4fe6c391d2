import Ledger
import Log
import Postgres

/// Entries that were recorded among numbers which had been sealed before, as numbers that somebody set back let happen:
/// what was pushed has not got them, and no later push goes back for them.
///
/// The last root that was noted says how many events the log had up to its entry.
struct LateEntries {
  /// The entry of the last root, and how many events there are more than it counted.
  private let entry: Int64
  private let excess: Int64
  private let named: [(entry: Int64, recorded: String, sealed: String)]

  /// - Returns: Nil where there are none.
  init?(on connection: Connection) throws(OpsError) {
    let (entry, excess, named) = try onDatabase { () throws(PostgresError) in
      let rows = try connection.query(Self.excess)
      guard rows.count == 1 else { return (Int64(0), Int64(0), Self.none) }
      let (entry, excess) = (try rows.int8(0, 0), try rows.int8(0, 1))
      guard excess > 0 else { return (entry, excess, Self.none) }
      var last = Parameters()
      last.int8(entry)
      let late = try connection.query(Self.late, last)
      var named = Self.none
      for row in 0..<late.count {
        named.append((try late.int8(row, 0), try late.text(row, 1), try late.text(row, 2)))
      }
      return (entry, excess, named)
    }
    guard excess > 0 else { return nil }
    (self.entry, self.excess, self.named) = (entry, excess, named)
  }

  private static let none: [(entry: Int64, recorded: String, sealed: String)] = []

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
          expected: "as many events as were pushed", found: "\(excess) more")
      ]
    }
    return named.map {
      Difference(
        table: "ledger.events", row: "entry \($0.entry)", column: "*",
        expected: "no event: its number was sealed at \($0.sealed)",
        found: "recorded at \($0.recorded)")
    }
  }

  var warning: String {
    "\(excess) events were recorded under numbers that were sealed before: no store has them, and none will; "
      + "`opsledger archive fork` brings all of the log into a new store"
  }
}
