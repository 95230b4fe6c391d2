import Ledger
import Log
import Postgres

/// A state from a snapshot, in one pass over its lines. The lines of streams with later events are read as rows and folded
/// further. All other lines are kept as they are.
struct FoldOn {
  private let snapshot: any StateSnapshot
  private let slice: Slice
  private let rowTypes: Set<RowType>
  private let log: LogReader
  /// The entries between the snapshot and the moment; nil if there are none.
  private let entries: ClosedRange<Int64>?
  /// The streams with events among these entries.
  private let streams: Set<StreamID>
  /// These events, if they are few enough to keep.
  private let later: LaterEvents?

  /// - Returns: Nil if the streams with later events do not fit into memory. The log must then be folded in slices, from
  ///   its beginning.
  init?(
    _ snapshot: any StateSnapshot, upTo entry: Int64, of rowTypes: Set<RowType>, on log: LogReader
  ) throws(OpsError) {
    self.snapshot = snapshot
    self.rowTypes = rowTypes
    self.log = log
    let slice = Slice.all.only(rowTypes)
    let entries = snapshot.entry < entry ? (snapshot.entry + 1)...entry : nil
    var (streams, later): (Set<StreamID>, LaterEvents?) = ([], nil)
    if let entries {
      if entries.count <= LaterEvents.entriesMax, entries.lowerBound > log.archivedLast {
        let read = try LaterEvents(slice, entries, on: log)
        (streams, later) = (read.streams, read.areAllKept ? read : nil)
      } else {
        streams = try slice.streams(in: entries, limit: Slice.rowsMax + 1, on: log)
      }
    }
    (self.slice, self.entries, self.streams, self.later) = (slice, entries, streams, later)
    guard streams.count <= Slice.rowsMax else { return nil }
  }

  /// - Returns: The fold of the streams whose rows were not kept.
  func run(
    keeping kept: any KeptRows, _ progress: ReplayProgress
  ) throws(OpsError) -> Fold {
    var fold = Fold()
    try fold.seed(from: snapshot, streams, of: rowTypes, keeping: kept)
    if let later {
      later.fold(into: &fold, progress)
    } else if let entries {
      try slice.read(into: &fold, on: log, entries: entries, progress)
    }
    fold.finish()
    try fold.requireSound()
    return fold
  }
}

/// Events that are read once, and kept until the rows of their streams are known.
private struct LaterEvents {
  /// If more entries are later than the snapshot, their events are too many to keep.
  static let entriesMax = 50_000
  private static let bytesMax = 64 << 20

  private struct Event {
    let fixed: EventView.Fixed
    let typeBytes: Int
    let dataBytes: Int
    /// Nil if the event has none.
    let contentBytes: Int?
  }

  private(set) var streams: Set<StreamID> = []
  private(set) var areAllKept = true
  private var events: [Event] = []
  /// Type, data and content of each event.
  private var text: [UInt8] = []

  init(_ slice: Slice, _ entries: ClosedRange<Int64>, on log: LogReader) throws(OpsError) {
    do throws(PostgresError) {
      let reader = try log.connection.copyReader(slice.events(entries))
      while let row = try reader.next() { add(try EventView(row), type: row[4].bytes) }
    } catch { throw OpsError(database: error) }
  }

  private mutating func add(_ event: EventView, type: UnsafeRawBufferPointer) {
    streams.insert(event.fixed.stream)
    guard areAllKept else { return }
    guard text.count < Self.bytesMax else {
      (areAllKept, events, text) = (false, [], [])
      return
    }
    events.append(
      Event(
        fixed: event.fixed, typeBytes: type.count, dataBytes: event.data.count,
        contentBytes: event.content?.count))
    text.append(contentsOf: type)
    text.append(contentsOf: event.data)
    if let content = event.content { text.append(contentsOf: content) }
  }

  func fold(into fold: inout Fold, _ progress: ReplayProgress) {
    text.withUnsafeBytes { text in
      var at = 0
      func next(_ count: Int) -> UnsafeRawBufferPointer {
        defer { at += count }
        return UnsafeRawBufferPointer(rebasing: text[at..<(at + count)])
      }
      for event in events {
        let (type, data) = (next(event.typeBytes), next(event.dataBytes))
        let view = EventView(fixed: event.fixed, data: data, content: event.contentBytes.map(next))
        fold.take(view, type: type)
      }
    }
    progress.add(events.count)
  }
}

extension Slice {
  /// The streams of the slice that have events among these entries.
  func streams(
    in entries: ClosedRange<Int64>, limit: Int = .max, on log: LogReader
  ) throws(OpsError) -> Set<StreamID> {
    var streams: Set<StreamID> = []
    try log.archived(entries, archivedStreams(log)) { (event) throws(OpsError) in
      if holds(type: event.type), streams.count < limit { streams.insert(event.stream) }
    }
    return try onDatabase { () throws(PostgresError) in
      let reader = try log.connection.copyReader(
        "COPY (SELECT DISTINCT stream FROM ledger.events WHERE \(condition(entries)) LIMIT \(limit))"
          + " TO STDOUT (FORMAT binary)")
      while let row = try reader.next() { streams.insert(StreamID(try row[0].uuid())) }
      return streams
    }
  }
}
