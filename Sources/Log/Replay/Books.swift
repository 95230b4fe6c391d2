import Ledger
import Postgres

/// Streams of which the log says that their rows left, to be looked up among the tombstones.
struct Tombstones {
  private var streams: [StreamID] = []
  private var versions: [Int32] = []

  mutating func take(_ stream: StreamID, _ version: Int32) {
    streams.append(stream)
    versions.append(version)
  }

  /// Each must have its tombstone, with its last version.
  func differences(on connection: Connection) throws(OpsError) -> [Difference] {
    var differences: [Difference] = []
    for chunk in streams.indices.chunks(of: 1000) {
      var parameters = Parameters()
      parameters.uuids(streams[chunk])
      var numbers = ArrayBuilder(.int4)
      for version in versions[chunk] { numbers.int4(version) }
      parameters.array(numbers)
      differences += try onDatabase { () throws(PostgresError) in
        try connection.query(Self.wrong, parameters).differences(table: "ledger.tombstones")
      }
    }
    return differences
  }

  private static let wrong = Statement(
    """
    SELECT v.stream::text, CASE WHEN t.stream IS NULL THEN '*' ELSE 'version' END,
      CASE WHEN t.stream IS NULL THEN 'a row' ELSE v.version::text END, t.version::text
    FROM unnest($1::uuid[], $2::integer[]) AS v(stream, version)
    LEFT JOIN ledger.tombstones AS t ON t.stream = v.stream
    WHERE t.version IS DISTINCT FROM v.version
    """)
}

extension Verifier {
  /// The command keys and the tombstones that the log does not know. Keys of the last thirty days must
  /// be there; older ones may have been cleared away.
  static func checkBooks(
    _ reader: LogReader, _ report: inout VerifyReport
  ) throws(OpsError) {
    var differences = try onDatabase { () throws(PostgresError) in
      try reader.connection.query(wrongKeys).differences(table: "ledger.commands")
    }
    if reader.departed == nil {
      differences += try onDatabase { () throws(PostgresError) in
        try reader.connection.query(needlessTombstones).differences(table: "ledger.tombstones")
      }
    } else {
      differences += try needlessTombstones(reader)
    }
    report.note(ofBooks: differences)
  }

  /// The same where a part of the log has left the database: which rows left is read there first.
  private static func needlessTombstones(
    _ reader: LogReader
  ) throws(OpsError) -> [Difference] {
    var left: [StreamID: Int32] = [:]
    try reader.cold(nil, .all) { (event) throws(OpsError) in
      if event.saysThatARowLeft || left[event.stream] != nil { left[event.stream] = event.version }
    }
    let rows = try onDatabase { () throws(PostgresError) in
      try reader.connection.query(tombstoneHistories)
    }
    var differences: [Difference] = []
    for row in 0..<rows.count where differences.count < 1000 {
      let (stream, version, hot, hasLeft) = try onDatabase { () throws(PostgresError) in
        (
          StreamID(try rows.uuid(row, 0)), try rows.int4(row, 1), try rows.int4(row, 2),
          try rows.bool(row, 3)
        )
      }
      let cold = left[stream]
      let last = max(hot, cold ?? 0)
      if hasLeft || cold != nil, version <= last { continue }
      differences.append(
        Difference(
          table: "ledger.tombstones", row: stream.description,
          column: hasLeft || cold != nil ? "version" : "*",
          expected: hasLeft || cold != nil ? "at most \(last)" : nil,
          found: hasLeft || cold != nil ? "\(version)" : "a row"))
    }
    return differences
  }

  /// Of each tombstone, what the log that is here says of its stream: the last version, and whether the row left.
  private static let tombstoneHistories = Statement(
    """
    SELECT t.stream, t.version, coalesce(e.version, 0), coalesce(e.has_left, false)
    FROM ledger.tombstones AS t LEFT JOIN LATERAL (
      SELECT max(e.version) AS version,
        bool_or(e.type IN (t.noun || '.removed', t.noun || '.archived')) AS has_left
      FROM ledger.events AS e WHERE e.stream = t.stream) AS e ON true
    """)

  /// Entries have one command each, so the first event speaks for all. Where none is wrong a plan for
  /// the first thousand would look each key up by itself.
  private static let wrongKeys = Statement(
    """
    WITH w AS MATERIALIZED (
      SELECT e.command AS named, e.entry, c.command, c.entry AS found
      FROM ledger.events AS e LEFT JOIN ledger.commands AS c ON c.command = e.command
      WHERE e.index = 0 AND e.command IS NOT NULL AND c.entry IS DISTINCT FROM e.entry
        AND (c.entry IS NOT NULL OR e.recorded_at > ledger.now() - interval '30 days'))
    SELECT named::text, CASE WHEN command IS NULL THEN '*' ELSE 'entry' END,
      CASE WHEN command IS NULL THEN 'a key of entry ' || entry ELSE entry::text END, found::text
    FROM w LIMIT 1000
    """)

  /// A row that came back keeps its tombstone.
  private static let needlessTombstones = Statement(
    """
    SELECT t.stream::text, CASE WHEN e.version IS NULL THEN '*' ELSE 'version' END,
      'at most ' || e.version, CASE WHEN e.version IS NULL THEN 'a row' ELSE t.version::text END
    FROM ledger.tombstones AS t LEFT JOIN LATERAL (
      SELECT max(e.version) AS version FROM ledger.events AS e
      WHERE e.stream = t.stream
      HAVING bool_or(e.type IN (t.noun || '.removed', t.noun || '.archived'))) AS e ON true
    WHERE e.version IS NULL OR t.version > e.version
    LIMIT 1000
    """)
}

/// Makes command keys and tombstones again for events that were put back, as the log says they were.
enum Books {
  /// - Parameter entries: Those that were put back, both bounds included.
  static func restore(
    _ entries: ClosedRange<Int64>, on connection: Connection
  ) throws(OpsError) {
    var range = Parameters()
    range.int8(entries.lowerBound)
    range.int8(entries.upperBound)
    try onDatabase { () throws(PostgresError) in
      _ = try connection.pipeline([(keys, range), (gone, range)])
    }
  }

  /// Of requests nothing is known but that they were done: a retry is answered with its entry.
  private static let keys = Statement(
    """
    INSERT INTO ledger.commands (command, entry, events, recorded_at)
    SELECT e.command, e.entry, (SELECT count(*) FROM ledger.events AS o WHERE o.entry = e.entry),
      e.recorded_at
    FROM ledger.events AS e
    WHERE e.entry BETWEEN $1::bigint AND $2::bigint AND e.index = 0 AND e.command IS NOT NULL
    ON CONFLICT (command) DO NOTHING
    """)

  /// Tombstones and erasures: all from one look at the events, of which few say that a row left or was erased. Of an
  /// archived row the dedupe key stays taken. A row that had left may have been erased since.
  private static let gone = Statement(
    """
    WITH said AS MATERIALIZED (
      SELECT e.stream, split_part(e.type, '.', 1) AS noun, split_part(e.type, '.', 2) AS kind, e.version,
        e.entry, e.data
      FROM ledger.events AS e
      WHERE e.entry BETWEEN $1::bigint AND $2::bigint
        AND split_part(e.type, '.', 2) IN ('removed', 'archived', 'erased')),
    erased AS (
      SELECT s.stream, max(s.version) AS version, max(s.entry) AS entry FROM said AS s
      WHERE s.kind = 'erased' GROUP BY s.stream),
    departed AS (
      SELECT DISTINCT ON (s.stream) s.stream, s.noun, s.version,
        CASE WHEN s.kind = 'archived' THEN s.data ->> 'dedupe_key' END AS dedupe_key
      FROM said AS s WHERE s.kind <> 'erased' ORDER BY s.stream, s.version DESC),
    put AS (
      INSERT INTO ledger.tombstones AS t (stream, noun, version, dedupe_key)
      SELECT d.stream, d.noun, greatest(d.version, x.version), d.dedupe_key
      FROM departed AS d LEFT JOIN erased AS x ON x.stream = d.stream
      ON CONFLICT (stream) DO UPDATE SET
        dedupe_key = CASE WHEN EXCLUDED.version >= t.version THEN EXCLUDED.dedupe_key ELSE t.dedupe_key END,
        version = greatest(t.version, EXCLUDED.version), noun = EXCLUDED.noun),
    raised AS (
      UPDATE ledger.tombstones AS t SET version = x.version FROM erased AS x
      WHERE x.stream = t.stream AND x.version > t.version
        AND NOT EXISTS (SELECT FROM departed AS d WHERE d.stream = x.stream))
    INSERT INTO ledger.erasures AS e (stream, entry)
    SELECT x.stream, x.entry FROM erased AS x
    ON CONFLICT (stream) DO UPDATE SET entry = greatest(e.entry, EXCLUDED.entry)
    """)
}

extension Rows {
  /// Rows of `row, column, expected, found`.
  fileprivate func differences(table: String) throws(PostgresError) -> [Difference] {
    var differences: [Difference] = []
    for row in 0..<count {
      differences.append(
        Difference(
          table: table, row: try text(row, 0), column: try text(row, 1),
          expected: try isNull(row, 2) ? nil : try text(row, 2),
          found: try isNull(row, 3) ? nil : try text(row, 3)))
    }
    return differences
  }
}

extension EventLine {
  /// Whether it is an event after which its row is in no table.
  var saysThatARowLeft: Bool {
    func ends(_ suffix: StaticString) -> Bool {
      let count = suffix.utf8CodeUnitCount
      return type.count > count
        && type.suffix(count).elementsEqual(
          UnsafeRawBufferPointer(start: suffix.utf8Start, count: count))
    }
    return ends(".removed") || ends(".archived")
  }
}
