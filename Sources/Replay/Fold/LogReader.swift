import Ledger
import Log
import Postgres

/// The log in one snapshot of the database: its archived part, and then what the database holds.
struct LogReader {
  let connection: Connection
  let archivedPart: ArchivedPart?

  /// - Parameter connection: A connection in a transaction that locks the log's partitions.
  init(_ target: Session.Target, on connection: Connection) throws(OpsError) {
    self.connection = connection
    archivedPart = try ArchivedPart(target, on: connection)
  }

  /// The last archived entry; 0 if none is.
  var archivedLast: Int64 { archivedPart?.last ?? 0 }

  /// Calls `body` with the archived events of these entries; nil: of all entries.
  func archived(
    _ entries: ClosedRange<Int64>?,
    _ streams: @autoclosure () throws(OpsError) -> ArchivedQuery.Streams,
    _ body: (EventLine) throws(OpsError) -> Void
  ) throws(OpsError) {
    let entries = entries ?? 0...Int64.max
    guard let archivedPart, archivedPart.part(of: entries) != nil else { return }
    try archivedPart.events(ArchivedQuery(entries, try streams()), body)
  }
}

extension LogReader {
  /// Divides the streams into slices that can each be folded in memory, and together read the log about once.
  ///
  /// Slices are ranges of ids, which the index `(stream, version)` finds. Ids of version 7 begin with their time, so
  /// the streams of a range lie together in the log. The ids of an archived part are not known before it is read; then
  /// the slices are hashes.
  ///
  /// - Parameter entry: The last entry whose events are to be folded.
  func slices(_ count: Int, upTo entry: Int64 = .max) throws(OpsError) -> [Slice] {
    if archivedPart != nil { return (0..<count).map { .hash(remainder: $0, of: count) } }
    let ends = try quantiles(count, upTo: entry).map { Optional($0) }
    return zip([nil] + ends, ends + [nil]).map { .range(from: $0, to: $1) }
  }

  /// Streams that divide the events into `count` parts of about equal size, by a sample of the log's pages.
  private func quantiles(_ count: Int, upTo entry: Int64) throws(OpsError) -> [StreamID] {
    guard count > 1 else { return [] }
    var parameters = Parameters()
    parameters.int8(Int64(count * Self.pagesSampled))
    parameters.int8(entry)
    parameters.int8(Int64(count))
    return try onDatabase { () throws(PostgresError) in
      try connection.query(Self.quantiles, parameters)
    }.ids()
  }

  /// Pages for each slice. The slices' sizes then differ by about a sixteenth.
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
