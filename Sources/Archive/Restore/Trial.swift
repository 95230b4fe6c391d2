import Ledger
import Log
import Postgres

/// Checks that the log could take the events that it lacks. Somebody who can write to a store can make a sound segment of
/// events that no database ever recorded.
///
/// Loads the events into a temporary table with the log's constraints, and rolls back.
struct Trial {
  let session: Session
  let missing: [Survey.Missing]
  /// The first entry that differs in the log and the stores.
  let before: Int64

  /// - Returns: The reason why the log cannot take the events; nil if it can, or if the trial could not run.
  func run() throws(OpsError) -> OpsError? {
    do throws(OpsError) { try load() } catch {
      // Another kind of error says nothing about the events.
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
      "entry \(entry) has version \(version) of row \(stream), and so has another entry",
      hint: "see `opsledger log show --stream \(stream)`, and `opsledger archive verify`")
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
  ///   - other: Takes every second frame, if the whole segment is missing.
  ///   - reading: A session that reads the database's events, if part of the segment is missing.
  /// - Returns: The number of lines.
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
          store: .newerFormat,
          "the store has an event of type \(type), which this release does not know",
          hint: "use a newer release, unless another program wrote the event")
      }
      if let other, frame.number % 2 == 1 { return try other.send(frame.text) }
      try writer.send(frame.text)
    }
    return Int(clamping: reader.index.eventCount)
  }
}
