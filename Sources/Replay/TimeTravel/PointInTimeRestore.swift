import JSON
public import Ledger
public import Log
import Postgres

/// The result of restoring the tables to a moment.
public struct PointInTimeRestore: Sendable {
  public var moment: Int64
  /// The entry that restores the tables.
  public var entry: Int64
  public var events: Int
  /// Rows written, by table.
  public var written: [String: RepairCount]
  /// The steps that ran since the moment, and would run again.
  public var again: RunAgain
  /// See ``RebuildReport/droppedConstraints``.
  public var droppedConstraints: [DroppedConstraints] = []
}

extension TimeTravel {
  /// Restores the eight tables to a moment, by one entry of ordinary events, and halts the loop.
  ///
  /// The log keeps everything that happened since. Versions only grow, so leases given since the moment are fenced out.
  /// Idempotency keys and holds do not change.
  ///
  /// - Parameters:
  ///   - moment: A sealed entry.
  ///   - rowsMax: At most this many rows are in memory, of both moments together.
  /// - Throws: `OPS_012` if the tables cannot be locked, `OPS_016` if the log is broken. Nothing is recorded then.
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
          rebuild, connection, to: moment, why, rowsMax ?? Slice.rowsMax / 2, dropsAll: isAll)
        result = try way.run()
        return RebuildReport(outcome: .rebuilt, found: VerifyReport())
      }
      guard let result else { throw OpsError(.conflict, "the tables were not restored") }
      return result
    }
    result.droppedConstraints = try PutBack.run(session, after: result.droppedConstraints)
    return result
  }
}

/// The transaction of a restore to a moment, under the lock of a rebuild and as the repair role. It first records what each row
/// must become. Then it makes the tables equal the log, as a rebuild does.
private final class Restoration {
  private let rebuild: Rebuild
  private let connection: Connection
  private let log: LogReader
  private let moment: Int64
  private let why: String
  private let rowsMax: Int
  /// Whether to drop everything that could refuse a row.
  private let dropsAll: Bool
  /// The last entry of the log. None is added while the tables are locked.
  private let last: Int64
  private let entry: Int64
  private let at: Instant
  private let command = newCommandID()
  /// Not written yet.
  private var events: [DraftedEvent] = []
  private var eventCount = 0

  init(
    _ rebuild: Rebuild, _ connection: Connection, to moment: Int64, _ why: String, _ rowsMax: Int,
    dropsAll: Bool
  ) throws(OpsError) {
    self.rebuild = rebuild
    self.connection = connection
    log = try LogReader(rebuild.session.target, on: connection)
    self.moment = moment
    self.why = why
    self.rowsMax = rowsMax
    self.dropsAll = dropsAll
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
      throw OpsError(.notFound, "entry \(moment) does not exist; the last entry is \(last)")
    }
    let ran = try RanSince(moment, upTo: last, on: log)
    let constraints = dropsAll ? try rebuild.dropped(connection, .all) : nil
    if moment < last { try takeBack() }
    let halted = JSON.object([
      "state": .string(LoopState.State.halted.rawValue), "why": .string(why),
    ])
    try record(
      .own(Policy.Event.set(key: LoopState.key, value: halted.text, rollbackTo: nil, why: why)),
      to: .policy(LoopState.key), \.policies)
    if let constraints { try rebuild.make(constraints, connection) }
    let again = try ran.waiting(on: connection)
    let report = JSON.object([
      "at": .int(moment), "events": .int(eventCount), "tables": rebuild.written.json,
      "run_again": again.json, "dropped_constraints": rebuild.droppedConstraints.json,
    ])
    try record(
      .own(LedgerRecord.Event.restored(report: report.text, why: why)), to: .ledger, \.ledger)
    // The tombstones of the rows that this entry removed.
    try Bookkeeping.make(entry...entry, on: connection)
    return PointInTimeRestore(
      moment: moment, entry: entry, events: eventCount, written: rebuild.written, again: again,
      droppedConstraints: rebuild.droppedConstraints)
  }

  // MARK: The eight tables

  private func takeBack() throws(OpsError) {
    let range = (moment + 1)...last
    let (rows, events) = try rebuild.session.estimate()
    rebuild.progress.expect(events)
    let slices = try log.slices(changedIn: range, rows: rows, rowsMax: rowsMax, countMin: 1)
    // A row may refer to a row of a later slice.
    let constraints = slices.count > 1 && !dropsAll ? try rebuild.dropped(connection, .bulk) : nil
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

  /// Records one event of another row, and writes the row.
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
}

/// Records for each row the event that gives it its earlier state, and folds the event.
private struct BackRecorder: RowVisitor {
  let before: Fold
  var now: Fold
  let at: Instant
  var events: [DraftedEvent] = []

  mutating func visit<R: Row>(_ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>) {
    guard R.name.isOfTheEight else { return }
    var folded = FoldTable<R>()
    swap(&folded, &now[keyPath: table])
    defer { swap(&folded, &now[keyPath: table]) }
    let (old, columns) = (before[keyPath: table], R.columns.filter { $0.name != "version" })
    for index in 0..<folded.slots.count {
      let (stream, row) = (folded.slots[index].stream, folded.slots[index].row)
      // This policy halts the loop instead.
      if stream == .policy(LoopState.key) { continue }
      guard let event = Self.event(from: row, to: old.row(of: stream), columns) else { continue }
      events.append(folded.record(.common(event), to: stream, at: at))
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
