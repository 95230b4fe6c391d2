public import Ledger
import Postgres

/// What the log holds.
public struct LogStatistics: Sendable {
  public struct Partition: Sendable {
    public var name: String
    public var from: Int64
    public var to: Int64
    /// The planner's estimate; nil before the first ANALYZE.
    public var events: Int64?
    /// The size of the table with its indexes.
    public var bytes: Int64
  }

  public var events: Int64 = 0
  public var entries: Int64 = 0
  public var streams: Int64 = 0
  public var first: Instant?
  public var last: Instant?
  public var lastEntry: Int64 = 0
  public var sealed: Int64 = 0
  /// By type, the most frequent first.
  public var types: [(type: String, events: Int64)] = []
  public var partitions: [Partition] = []
}

extension Session {
  private static let countTypes = Statement(
    """
    SELECT e.type, count(*), count(*) FILTER (WHERE e.index = 0),
      count(*) FILTER (WHERE e.version = 1), min(e.recorded_at), max(e.recorded_at), max(e.entry)
    FROM ledger.events AS e GROUP BY e.type ORDER BY 2 DESC, 1
    """)
  private static let listPartitions = Statement(
    """
    SELECT c.relname, b.range[1]::bigint, b.range[2]::bigint - 1,
      CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END, pg_total_relation_size(c.oid)
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid,
      regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \\('?(\\d+)'?\\) TO \\('?(\\d+)'?\\)$$)
        AS b(range)
    WHERE i.inhparent = 'ledger.events'::regclass ORDER BY 2
    """)
  private static let sealed = Statement("SELECT ledger.sealed()")

  /// Counts the whole log. A hundred million events take about a minute.
  public func logStatistics() throws(OpsError) -> LogStatistics {
    try HistoryReader.read(
      self,
      first: [
        (Self.countTypes, Parameters()), (Self.listPartitions, Parameters()),
        (Self.sealed, Parameters()),
      ]
    ) { (answers, _) throws(OpsError) in
      var statistics = LogStatistics()
      try onDatabase { () throws(PostgresError) in
        statistics.sealed = try answers[2].int8(0, 0)
        for row in 0..<answers[0].count { try statistics.add(answers[0], row) }
      }
      statistics.partitions = try answers[1].map { (row) throws(PostgresError) in
        LogStatistics.Partition(
          name: try answers[1].text(row, 0), from: try answers[1].int8(row, 1),
          to: try answers[1].int8(row, 2), events: try answers[1].int8IfPresent(row, 3),
          bytes: try answers[1].int8(row, 4))
      }
      return statistics
    }
  }
}

extension LogStatistics {
  fileprivate mutating func add(_ rows: Rows, _ row: Int) throws(PostgresError) {
    let count = try rows.int8(row, 1)
    types.append((try rows.text(row, 0), count))
    events += count
    entries += try rows.int8(row, 2)
    streams += try rows.int8(row, 3)
    let (earliest, latest) = (try rows.timestamptz(row, 4), try rows.timestamptz(row, 5))
    first = min(first ?? Instant(micros: earliest), Instant(micros: earliest))
    last = max(last ?? Instant(micros: latest), Instant(micros: latest))
    lastEntry = max(lastEntry, try rows.int8(row, 6))
  }
}
