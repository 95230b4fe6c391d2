public import Ledger
public import Log
import Postgres

/// The number of rows of a table at a moment.
public struct TableCount: Equatable, Sendable {
  public var rows = 0
  /// By status, if the table has one; `ops_demand_radar` by stage.
  public var statuses: [String: Int] = [:]
}

/// The numbers of rows at a moment.
public struct StateCounts: Equatable, Sendable {
  public var tables: [String: TableCount] = [:]
  /// Events that were folded.
  public var events = 0

  mutating func add(_ other: StateCounts) {
    events += other.events
    tables.merge(other.tables) { a, b in
      TableCount(
        rows: a.rows + b.rows, statuses: a.statuses.merging(b.statuses, uniquingKeysWith: +))
    }
  }
}

/// The state of the tables at a moment: the fold of every stream up to it.
public enum TimeTravel {
  /// Counts the rows at a moment.
  ///
  /// - Throws: `OPS_016` if the log is broken before the moment.
  public static func counts(
    _ target: Session.Target, at entry: Int64, from snapshots: (any StateSnapshots)? = nil,
    _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) -> StateCounts {
    let session = try Session(target)
    let (rows, events) = try session.estimate()
    let moment = try SharedSnapshot(session)
    defer { moment.end() }
    return try snapshots.fallingBack { () throws(OpsError) in
      if let snapshot = try snapshots?.newest(upTo: entry, on: session),
        let counts = try counts(
          from: snapshot, at: entry, on: try moment.reader(), progress)
      {
        return counts
      }
      progress.expect(events)
      return try counts(
        target, moment, readers: session.readers, rows: rows, at: entry, progress)
    }
  }

  private static func counts(
    _ target: Session.Target, _ moment: SharedSnapshot, readers: Int, rows: Int, at entry: Int64,
    _ progress: ReplayProgress
  ) throws(OpsError) -> StateCounts {
    let stream = FoldStream(
      try moment.reader().slices(Slice.count(rows: rows), upTo: entry), entries: 0...max(0, entry),
      target, snapshot: moment.id, workers: readers, progress,
      make: { (fold, _) throws(OpsError) in
        try fold.requireSound()
        return try Tally(fold).counts
      })
    defer { stream.stop() }
    var counts = StateCounts()
    while let part = try stream.next() { counts.add(part) }
    return counts
  }

  private static func counts(
    from snapshot: any StateSnapshot, at entry: Int64, on log: LogReader,
    _ progress: ReplayProgress
  ) throws(OpsError) -> StateCounts? {
    let rowTypes = Set(RowType.allCases.filter(\.isOfTheEight))
    guard let later = try FoldOn(snapshot, upTo: entry, of: rowTypes, on: log) else { return nil }
    let kept = KeptTally()
    var counts = try Tally(later.run(keeping: kept, progress)).counts
    counts.add(kept.counts)
    return counts
  }

  /// Counts the rows of a snapshot that no later event changed.
  private final class KeptTally: KeptRows {
    private(set) var counts = StateCounts()
    private var table = ""
    private var count = TableCount()
    /// The position of the status column.
    private var status: Int?

    func begin<R: Row>(_ rowType: R.Type) throws(OpsError) {
      (table, count) = (R.table, TableCount())
      status = R.columns.firstIndex { $0.name == "status" || $0.name == "stage" }
    }

    func take(_ line: UnsafeRawBufferPointer) throws(OpsError) {
      count.rows += 1
      var fields = RowFields(line)
      if let status, let label = fields.skip(to: status), !label.isNull {
        count.statuses[label.plain, default: 0] += 1
      }
    }

    func end() throws(OpsError) { counts.tables[table] = count }
  }

  private struct Tally: RowVisitor {
    private var fold: Fold
    private(set) var counts = StateCounts()

    init(_ fold: consuming Fold) throws(OpsError) {
      counts.events = fold.eventCount
      self.fold = fold
      try visitParentsFirst()
    }

    mutating func visit<R: Row>(
      _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
    ) throws(OpsError) {
      guard R.name.isOfTheEight else { return }
      let status = R.columns.first { $0.name == "status" || $0.name == "stage" }
      var count = TableCount()
      fold[keyPath: table].withEachRow { row in
        count.rows += 1
        if case .text(let label)? = status?.get(at: row) {
          count.statuses[label, default: 0] += 1
        }
      }
      counts.tables[R.table] = count
    }
  }
}

extension Fold {
  /// Refuses a state that the log does not prove.
  func requireSound() throws(OpsError) {
    guard let problem = context.problems.first else { return }
    let difference = problem.difference
    throw OpsError(
      .inconsistentRow,
      "the log is broken in \(context.problems.count) place(s), so it does not give the state; the first is in "
        + "entry \(problem.entry), \(difference.row), \(difference.column): expected "
        + "\(difference.expected ?? "-"), found \(difference.found ?? "-")",
      hint: "`opsledger verify` lists all places")
  }
}
