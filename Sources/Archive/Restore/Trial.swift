import Ledger
import Log
import Postgres

/// Whether what stores have more than the database could be an earlier log of its own: whoever can write to a store can
/// make a segment that is sound, of events that no database ever recorded.
///
/// The events go into a table of the transaction's alone, which takes what the log takes, and is rolled back.
struct Trial {
  let session: Session
  let missing: [Survey.Missing]
  /// The log has the same events as the stores before this entry. From there on both may have gone on.
  let before: Int64

  /// - Returns: Why the log cannot take them; nil where it can, or where nobody can say now.
  func run() throws(OpsError) -> OpsError? {
    do throws(OpsError) { try load() } catch {
      // Data, integrity constraints, limits of the server; anything else is no fault of theirs.
      let isTheirs = [.data, .constraint, .limits].contains(error.database?.errorClass)
      return isTheirs || error.code == .storeDiverged ? error : nil
    }
    return nil
  }

  private func load() throws(OpsError) {
    let connection = try session.connection()
    defer { try? connection.rollbackIfOpen() }
    try onDatabase { () throws(PostgresError) in
      try connection.begin(
        .readCommitted,
        "CREATE TEMPORARY TABLE tried (LIKE ledger.events INCLUDING CONSTRAINTS) ON COMMIT DROP")
    }
    for part in missing {
      let writer = try onDatabase { () throws(PostgresError) in
        try connection.copyIn("COPY pg_temp.tried FROM STDIN")
      }
      _ = try part.send(to: writer, reading: try Session(session.target))
      _ = try onDatabase { () throws(PostgresError) in try writer.finish() }
    }
    var common = Parameters()
    common.int8(before)
    let rows = try onDatabase { () throws(PostgresError) in
      try connection.query(Self.repeated, common)
    }
    guard rows.count == 1 else { return }
    let (entry, stream, version) = try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), StreamID(try rows.uuid(0, 1)), try rows.int4(0, 2))
    }
    throw OpsError(
      store: .diverged,
      "entry \(entry) is version \(version) of stream \(stream), and another entry is that as well")
  }

  private static let repeated = Statement(
    """
    SELECT t.entry, t.stream, t.version FROM pg_temp.tried AS t
    WHERE EXISTS (SELECT FROM ledger.events AS e
        WHERE e.stream = t.stream AND e.version = t.version AND e.entry < $1::bigint)
      OR EXISTS (SELECT FROM pg_temp.tried AS o
        WHERE o.stream = t.stream AND o.version = t.version AND (o.entry, o.index) < (t.entry, t.index))
    ORDER BY t.entry, t.index LIMIT 1
    """)
}

extension Survey.Missing {
  /// Sends the lines that the database lacks.
  ///
  /// - Parameters:
  ///   - other: Takes every second frame, where all of the segment is missing.
  ///   - reading: A session that reads what the database has, where it has some.
  /// - Returns: How many there are.
  func send(
    to writer: CopyWriter, and other: SegmentLoader? = nil,
    reading: @autoclosure () throws(OpsError) -> Session
  ) throws(OpsError) -> Int {
    var events = 0
    guard isWhole else {
      try store.compare(segment, entries, try reading()) { (difference) throws(OpsError) in
        guard case .missing(let line, _) = difference else { return }
        try onDatabase { () throws(PostgresError) in try writer.raw(line) }
        events += 1
      }
      return events
    }
    let reader = try store.reader(of: segment)
    try reader.verify { (frame) throws(OpsError) in
      if let type = frame.unknownType {
        throw OpsError(
          store: .newerFormat, "it has an event of type \(type), which this release does not know",
          hint: "a newer release wrote it, or another program")
      }
      if let other, frame.number % 2 == 1 { return try other.send(frame.text) }
      try writer.send(frame.text)
    }
    return Int(clamping: reader.index.eventCount)
  }
}
