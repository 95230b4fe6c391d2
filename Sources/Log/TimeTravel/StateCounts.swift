public import Ledger

/// How many rows a table had at a moment.
public struct TableCount: Equatable, Sendable {
  public var rows = 0
  /// By status (radar: stage), where the table has one.
  public var statuses: [String: Int] = [:]
}

/// The state at a moment, counted.
public struct StateCounts: Equatable, Sendable {
  /// By table: all eight.
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

/// The state of the tables at a moment: the fold of every stream, stopped early.
public enum TimeTravel {
  /// Counts the rows at a moment.
  ///
  /// - Throws: `OPS_016` where the log itself is broken before it.
  public static func counts(
    _ target: Session.Target, at entry: Int64, _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) -> StateCounts {
    let session = try Session(target)
    let (rows, events) = try session.estimate()
    progress.expect(events)
    let snapshot = try SharedSnapshot(session)
    defer { snapshot.end() }
    let stream = FoldStream(
      Slice.all(rows: rows), entries: 0...max(0, entry), target, snapshot: snapshot.id,
      workers: Slice.workers, progress,
      make: { (fold, _) throws(OpsError) in
        try fold.requireSound()
        var tally = Tally(fold: fold)
        try tally.visitParentsFirst()
        return tally.counts
      })
    defer { stream.stop() }
    var counts = StateCounts()
    while let part = try stream.next() { counts.add(part) }
    return counts
  }

  private struct Tally: NounVisitor {
    private var fold: Fold
    private(set) var counts = StateCounts()

    init(fold: consuming Fold) {
      counts.events = fold.eventCount
      self.fold = fold
    }

    mutating func visit<N: Noun>(
      _ noun: N.Type, _ table: WritableKeyPath<Fold, FoldTable<N>>
    ) throws(OpsError) {
      guard N.name.isOfTheEight else { return }
      let status = N.columns.first { $0.name == "status" || $0.name == "stage" }
      var count = TableCount()
      fold[keyPath: table].withEachRow { row in
        count.rows += 1
        if case .text(let label)? = status?.get(at: row) {
          count.statuses[label, default: 0] += 1
        }
      }
      counts.tables[N.table] = count
    }
  }
}

extension Fold {
  /// A state that the log does not prove is not given.
  func requireSound() throws(OpsError) {
    guard let problem = context.problems.first else { return }
    let difference = problem.difference
    throw OpsError(
      .inconsistentRow,
      "the log itself is broken in \(context.problems.count) place(s), so there is no state of it: "
        + "\(difference.row): expected \(difference.expected ?? "-"), "
        + "found \(difference.found ?? "-") in entry \(problem.entry)",
      hint: "see opsledger verify")
  }
}
