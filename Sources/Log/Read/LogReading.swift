public import Ledger
import Postgres

/// Which events to read.
public struct LogQuery: Sendable {
  public var stream: StreamID?
  public var entries: ClosedRange<Int64>
  /// A type, in which `*` stands for any text.
  public var type: String?
  public var limit: Int
  /// The last events instead of the first.
  public var isTail: Bool

  public init(
    stream: StreamID? = nil, entries: ClosedRange<Int64> = 0...Int64.max, type: String? = nil,
    limit: Int, isTail: Bool = false
  ) {
    self.stream = stream
    self.entries = entries
    self.type = type
    self.limit = limit
    self.isTail = isTail
  }
}

/// The log in figures.
public struct LogStats: Sendable {
  public struct Partition: Sendable {
    public var name: String
    public var events: Int64
    public var bytes: Int64
  }

  public var events: Int64 = 0
  public var entries: Int64 = 0
  public var streams: Int64 = 0
  public var first: Instant?
  public var last: Instant?
  public var sealed: Int64 = 0
  public var types: [(type: String, count: Int64)] = []
  public var partitions: [Partition] = []
}

extension Session {
  /// Seals what can be sealed, where this login may.
  ///
  /// - Returns: The last sealed entry.
  @discardableResult
  public func seal() throws(OpsError) -> Int64 {
    let rows: Rows
    do {
      rows = try query(Statement("SELECT ledger.seal()"))
    } catch  where error.code == .notAllowed {
      rows = try query(Statement("SELECT ledger.sealed()"))
    }
    return try onDatabase { () throws(PostgresError) in try rows.int8(0, 0) }
  }

  private static func read(_ direction: String) -> Statement {
    Statement(
      """
      SELECT \(RecordedEvent.columns) FROM ledger.events
      WHERE entry BETWEEN $1::bigint AND least($2::bigint, ledger.sealed())
        AND ($3::uuid IS NULL OR stream = $3::uuid) AND type LIKE $4::text
      ORDER BY entry \(direction), index \(direction) LIMIT $5::bigint
      """)
  }
  private static let readStream = Statement(
    """
    SELECT \(RecordedEvent.columns) FROM ledger.events
    WHERE stream = $3::uuid AND entry BETWEEN $1::bigint AND least($2::bigint, ledger.sealed())
      AND type LIKE $4::text
    ORDER BY entry, index LIMIT $5::bigint
    """)
  private static let readForward = read("ASC")
  private static let readBackward = read("DESC")

  /// Events of the sealed prefix, in the order of the log. Seal first.
  public func events(_ wanted: LogQuery) throws(OpsError) -> [RecordedEvent] {
    var parameters = Parameters()
    parameters.int8(wanted.entries.lowerBound)
    parameters.int8(wanted.entries.upperBound)
    if let stream = wanted.stream { parameters.uuid(stream) } else { parameters.null(.uuid) }
    parameters.text(wanted.type.map(RowQuery<AgentEvent>.likePattern) ?? "%")
    parameters.int8(Int64(wanted.limit))
    let statement =
      wanted.isTail
      ? Self.readBackward : wanted.stream == nil ? Self.readForward : Self.readStream
    let events = try RecordedEvent.all(try query(statement, parameters))
    return wanted.isTail ? events.reversed() : events
  }

  /// Reads the whole log once.
  public func logStats() throws(OpsError) -> LogStats {
    var stats = LogStats()
    let totals = try query(
      Statement(
        """
        SELECT count(*), count(*) FILTER (WHERE index = 0), count(*) FILTER (WHERE version = 1),
          min(recorded_at), max(recorded_at), ledger.sealed() FROM ledger.events
        """))
    let types = try query(
      Statement("SELECT type, count(*) FROM ledger.events GROUP BY type ORDER BY type"))
    let partitions = try query(
      Statement(
        """
        SELECT c.relname::text, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ledger.events'::regclass ORDER BY c.relname
        """))
    try onDatabase { () throws(PostgresError) in
      stats.events = try totals.int8(0, 0)
      stats.entries = try totals.int8(0, 1)
      stats.streams = try totals.int8(0, 2)
      stats.first = try totals.timestamptzIfPresent(0, 3).map(Instant.init(micros:))
      stats.last = try totals.timestamptzIfPresent(0, 4).map(Instant.init(micros:))
      stats.sealed = try totals.int8(0, 5)
      for row in 0..<types.count {
        stats.types.append((try types.text(row, 0), try types.int8(row, 1)))
      }
      for row in 0..<partitions.count {
        stats.partitions.append(
          LogStats.Partition(
            name: try partitions.text(row, 0), events: try partitions.int8(row, 1),
            bytes: try partitions.int8(row, 2)))
      }
    }
    return stats
  }
}
