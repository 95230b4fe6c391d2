import JSON
public import Ledger
public import Log
import Postgres

/// What taking the tables back to a moment came to.
public struct PointInTimeRestore: Sendable {
  /// The moment, and the entry that takes the tables back to it.
  public var moment: Int64
  public var entry: Int64
  public var events: Int
  /// Rows written, by table.
  public var written: [String: RepairCount]
  /// What has run since, and would run again.
  public var again: RunAgain
  /// What rows of the log break; see ``RebuildReport/droppedConstraints``.
  public var droppedConstraints: [DroppedConstraints] = []
}

extension TimeTravel {
  /// Takes the eight tables back to a moment, by one entry of ordinary events, and halts the loop.
  ///
  /// What happened since stays in the log. Versions go on: whoever holds a lease that was given since is fenced out.
  /// Keys and holds stay as they are.
  ///
  /// - Parameters:
  ///   - moment: A sealed entry.
  ///   - rowsMax: So many rows are held in memory, of both moments.
  /// - Throws: `OPS_012` where the tables cannot be locked, `OPS_016` where the log is broken; nothing is recorded then.
  public static func goBack(
    _ target: Session.Target, to moment: Int64, why: String, actor: String,
    _ progress: ReplayProgress = ReplayProgress(), rowsMax: Int? = nil,
    lockAttemptsMax: Int = 30
  ) throws(OpsError) -> PointInTimeRestore {
    let session = try Session(target)
    var result = try Rebuilder.writing { (isAll) throws(OpsError) in
      let rebuild = Rebuild(session, actor, .rebuilt, progress, attemptsMax: lockAttemptsMax)
      var result: PointInTimeRestore?
      _ = try rebuild.locked { (connection) throws(OpsError) in
        let way = try Restoration(
          rebuild, connection, to: moment, why, rowsMax ?? Slice.rowsMax / 2, takesAllAway: isAll)
        result = try way.run()
        return RebuildReport(outcome: .rebuilt, found: VerifyReport())
      }
      guard let result else { throw OpsError(.conflict, "the tables were not taken back") }
      return result
    }
    result.droppedConstraints = try PutBack.run(session, after: result.droppedConstraints)
    return result
  }
}

/// The transaction that goes back: under the lock of a rebuild, as the repair role. It records first what each row has to
/// become, then makes the tables what the log says now, as a rebuild does.
private final class Restoration {
  private let rebuild: Rebuild
  private let connection: Connection
  private let log: LogReader
  private let moment: Int64
  private let why: String
  private let rowsMax: Int
  private let takesAllAway: Bool
  /// The last entry that there is: nothing is added while the tables are locked.
  private let last: Int64
  private let entry: Int64
  private let at: Instant
  private let command = newCommandID()
  /// Not written yet.
  private var events: [DraftedEvent] = []
  private var eventCount = 0

  init(
    _ rebuild: Rebuild, _ connection: Connection, to moment: Int64, _ why: String, _ rowsMax: Int,
    takesAllAway: Bool
  ) throws(OpsError) {
    self.rebuild = rebuild
    self.connection = connection
    log = try LogReader(rebuild.session.target, on: connection)
    self.moment = moment
    self.why = why
    self.rowsMax = rowsMax
    self.takesAllAway = takesAllAway
    (last, entry, at) = try onDatabase { () throws(PostgresError) in
      let last = try connection.query(
        Statement("SELECT coalesce(max(e.entry), 0) FROM ledger.events AS e")
      ).int8(0, 0)
      let allocated = try connection.query(.alwaysAllocate)
      return (last, try allocated.int8(0, 0), Instant(micros: try allocated.timestamptz(0, 1)))
    }
  }

  func run() throws(OpsError) -> PointInTimeRestore {
    guard moment <= last else {
      throw OpsError(.notFound, "entry \(moment) is beyond the last, \(last)")
    }
    let ran = try RanSince(moment, upTo: last, on: log)
    let constraints = takesAllAway ? try rebuild.dropped(connection, .all) : nil
    if moment < last { try takeBack() }
    try record(
      .own(
        Policy.Event.set(
          key: LoopState.key, value: halted, rollbackTo: nil, why: why)),
      to: .policy(LoopState.key), \.policies)
    if let constraints { try rebuild.make(constraints, connection) }
    let again = try ran.waiting(on: connection)
    let report = report(again)
    try record(
      .own(LedgerRecord.Event.restored(report: report.text, why: why)), to: .ledger, \.ledger)
    try finish()
    return PointInTimeRestore(
      moment: moment, entry: entry, events: eventCount, written: rebuild.written, again: again,
      droppedConstraints: rebuild.droppedConstraints)
  }

  private var halted: String {
    JSON.object(["state": .string(LoopState.State.halted.rawValue), "why": .string(why)]).text
  }

  private func report(_ again: RunAgain) -> JSON {
    let tables = rebuild.written.mapValues { count in
      JSON.object([
        "inserted": .int(count.inserted), "updated": .int(count.updated),
        "removed": .int(count.removed),
      ])
    }
    return .object([
      "at": .int(moment), "events": .int(eventCount), "tables": .object(tables),
      "run_again": again.json,
      "dropped_constraints": .array(
        rebuild.droppedConstraints.filter { $0.kind != .trigger }.map(\.json)),
    ])
  }

  // MARK: The eight tables

  private func takeBack() throws(OpsError) {
    let range = (moment + 1)...last
    // What changed among events that have left the database is found by looking at every stream.
    let isHot = log.archivedLast < range.lowerBound
    let streams =
      isHot
      ? try TimeTravel.streamCount(range, on: connection) : try rebuild.session.estimate().rows
    // Both moments of a slice are in memory, and the events between them.
    let count = max(1, (2 * streams + rowsMax - 1) / rowsMax)
    rebuild.progress.expect(try rebuild.session.estimate().events)
    // A slice knows nothing of the rows that another one's refer to.
    let constraints = count > 1 && !takesAllAway ? try rebuild.dropped(connection, .bulk) : nil
    let slices: [Slice] =
      isHot
      ? (0..<count).map { .changed(in: range, remainder: $0, of: count) }
      : try log.slices(count)
    for slice in slices { try takeBack(slice, range) }
    if let constraints { try rebuild.make(constraints, connection) }
  }

  private func takeBack(_ slice: Slice, _ range: ClosedRange<Int64>) throws(OpsError) {
    let before = try slice.fold(on: log, entries: 0...moment, rebuild.progress)
    var now = before
    try slice.read(into: &now, on: log, entries: range, rebuild.progress)
    now.finish()
    try now.requireSound()
    var recorder = BackRecorder(before: before, now: now, at: at)
    try recorder.visitParentsFirst()
    events += recorder.events
    try write()
    try rebuild.repair(recorder.now, slice, connection)
  }

  /// Records one event of a row that is not taken back, and writes the row.
  private func record<R: Row>(
    _ event: StreamEvent<R>, to stream: StreamID, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    let slice = Slice.streams([stream])
    var fold = try slice.fold(on: log, entries: 0...last, ReplayProgress())
    try fold.requireSound()
    events.append(fold[keyPath: table].record(event, to: stream, at: at))
    try write()
    try rebuild.repair(fold, slice, connection)
  }

  // MARK: The entry

  /// Writes the events, a thousand at a time.
  private func write() throws(OpsError) {
    for chunk in events.chunks(of: 1000) {
      var parameters = Parameters(reserving: 12, bytes: 256 * chunk.count)
      parameters.int8(entry)
      parameters.time(at)
      parameters.text(rebuild.actor)
      parameters.uuid(command)
      parameters.events(Array(chunk))
      parameters.int4(Int32(eventCount))
      eventCount += chunk.count
      _ = try onDatabase { () throws(PostgresError) in
        try connection.query(Self.insertEvents, parameters)
      }
    }
    events = []
  }

  private static let insertEvents = Draft.insertEvents(index: "$12::integer + v.at - 1")

  /// The tombstones of rows that left.
  private func finish() throws(OpsError) {
    try Bookkeeping.make(entry...entry, on: connection)
  }
}

/// Finds what each row has to become, records it, and folds it.
private struct BackRecorder: RowVisitor {
  let before: Fold
  private(set) var now: Fold
  private(set) var events: [DraftedEvent] = []
  private let at: Instant

  init(before: Fold, now: Fold, at: Instant) {
    self.before = before
    self.now = now
    self.at = at
  }

  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    // The eight alone: keys, holds and the ledger itself stay as they are.
    guard R.name.isOfTheEight else { return }
    var folded = FoldTable<R>()
    swap(&folded, &now[keyPath: table])
    defer { swap(&folded, &now[keyPath: table]) }
    let (old, columns) = (before[keyPath: table], R.columns.filter { $0.name != "version" })
    for at in 0..<folded.slots.count {
      let stream = folded.slots[at].stream
      // The loop is halted instead.
      if R.name == .policy, stream == .policy(LoopState.key) { continue }
      let then = old.find(stream).flatMap { old.slots[$0].row }
      guard let event = Self.event(from: folded.slots[at].row, to: then, columns) else { continue }
      events.append(folded.record(.common(event), to: stream, at: self.at))
    }
  }

  private static func event<R: Row>(
    from row: R?, to then: R?, _ columns: [Column<R>]
  ) -> CommonEvent<R>? {
    switch (row, then) {
    case (nil, nil): return nil
    case (nil, let then?): return .inserted(columns.map { ColumnValue($0.name, $0.get(then)) })
    case (_, nil): return .removed
    case (let row?, let then?):
      let changes = columns.compactMap { column -> ColumnChange? in
        let (from, to) = (column.get(row), column.get(then))
        return from.same(as: to) ? nil : ColumnChange(column.name, from: from, to: to)
      }
      return changes.isEmpty ? nil : .amended(changes)
    }
  }
}
