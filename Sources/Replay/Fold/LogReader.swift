import Ledger
import Log
import Postgres

/// The log as one moment of the database sees it: what it holds, and before that what has left it.
struct LogReader {
  let connection: Connection
  let archivedPart: ArchivedPart?

  /// - Parameter connection: In a transaction that holds the log's partitions by a lock.
  init(_ target: Session.Target, on connection: Connection) throws(OpsError) {
    self.connection = connection
    archivedPart = try ArchivedPart(target, on: connection)
  }

  /// Entries that left the database end with this one; 0 where none did.
  var archivedLast: Int64 { archivedPart?.last ?? 0 }

  /// Hands over the events of these entries that have left the database.
  func archived(
    _ entries: ClosedRange<Int64>?,
    _ streams: @autoclosure () throws(OpsError) -> ArchivedQuery.Streams,
    _ body: (EventLine) throws(OpsError) -> Void
  ) throws(OpsError) {
    guard let archivedPart, let range = archivedPart.part(of: entries ?? 0...Int64.max) else {
      return
    }
    let log = try archivedPart.log()
    try log.events(ArchivedQuery(range, try streams())) { (event) throws(OpsError) in
      try body(event)
      return true
    }
  }
}

extension LogReader {
  /// Divides the streams, so that each slice is folded in memory and all of them read about once.
  ///
  /// By ranges of ids, which `(stream, version)` finds: ids of version 7 begin with their time, so that a range lies
  /// together in the log. Where a part of the log has left, its ids are known only by reading it, and slices are by
  /// hash.
  ///
  /// - Parameter entry: Events up to this one are to be folded.
  func slices(_ count: Int, upTo entry: Int64 = .max) throws(OpsError) -> [Slice] {
    if archivedPart != nil { return (0..<count).map { .hash(remainder: $0, of: count) } }
    let ends = try quantiles(count, upTo: entry).map { Optional($0) }
    return zip([nil] + ends, ends + [nil]).map { .range(from: $0, to: $1) }
  }

  /// Streams that divide the events into as many equal parts, as far as a sample of the log's pages tells.
  private func quantiles(_ count: Int, upTo entry: Int64) throws(OpsError) -> [StreamID] {
    guard count > 1 else { return [] }
    var parameters = Parameters()
    parameters.int8(Int64(count * Self.pagesSampled))
    parameters.int8(entry)
    parameters.int8(Int64(count))
    let rows = try onDatabase { () throws(PostgresError) in
      try connection.query(Self.quantiles, parameters)
    }
    return try rows.ids()
  }

  /// Of each slice: its size is then off by about a sixteenth.
  private static let pagesSampled = 250

  private static let quantiles = Statement(
    """
    SELECT DISTINCT s.stream FROM (
      SELECT e.stream, row_number() OVER (ORDER BY e.stream) - 1 AS place, count(*) OVER () AS events
      FROM ledger.events AS e TABLESAMPLE SYSTEM ((SELECT least(100, 100.0 * $1::bigint
          / greatest(1, sum(pg_relation_size(i.inhrelid) / current_setting('block_size')::int)))
        FROM pg_inherits AS i WHERE i.inhparent = 'ledger.events'::regclass)) REPEATABLE (0)
      WHERE e.entry <= $2::bigint) AS s
    WHERE s.place > 0 AND s.place * $3::bigint / s.events > (s.place - 1) * $3::bigint / s.events
    ORDER BY s.stream
    """)
}
