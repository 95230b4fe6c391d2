public import Ledger
import Postgres
import Synchronization
import Threads

/// What `verify` found.
public struct VerifyReport: Sendable {
  /// The last entry that was replayed.
  public var entry: Int64 = 0
  public var events = 0
  /// Rows compared, by table.
  public var rows: [String: Int] = [:]
  /// At most ``describedMax`` of them are described.
  public var differences: [Difference] = []
  public var differenceCount = 0
  /// Of the differences, those of the log itself, which no rebuild can mend.
  public var logProblems = 0
  /// Of the differences, those of the command keys and tombstones, which are no rows of the tables.
  public var bookProblems = 0
  public var notCovered: [String] = []
  public var warnings: [String] = []
  /// The streams of the rows that differ, as far as they are few.
  var streams: Set<StreamID> = []

  public var isEqual: Bool { differenceCount == 0 }
  /// Whether a rebuild has nothing to write.
  var tablesAreEqual: Bool { differenceCount == bookProblems }
  public static let describedMax = Comparison.describedMax
}

/// Proves that the tables equal the replay of the log.
public enum Verifier {
  /// Replays the log and compares every ledger column of every live row, in one snapshot of both.
  /// Reads only; writers go on.
  ///
  /// - Throws: `OPS_001`, `OPS_014` where there is no ledger.
  public static func run(
    _ target: Session.Target, _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) -> VerifyReport {
    let session = try Session(target)
    let (rows, events) = try session.estimate()
    progress.expect(events)
    let snapshot = try SharedSnapshot(session)
    defer { snapshot.end() }
    let reader = try snapshot.reader()
    let slices = try reader.slices(Slice.count(rows: rows))
    let id = snapshot.id
    let merged = Mutex(Partial())
    concurrently(Slice.workers) { worker in
      let mine = slices.indices.filter { $0 % Slice.workers == worker }.map { slices[$0] }
      let result = Result { () throws(OpsError) in
        try compare(mine, target, snapshot: id, progress)
      }
      merged.withLock { $0.merge(result) }
    }
    var partial = merged.withLock { $0 }
    if let failure = partial.failure { throw failure }
    try checkEntries(reader, &partial)
    try checkBooks(reader, &partial.report)
    try finish(session, reader, &partial)
    return partial.report
  }

  /// What the workers found, put together.
  struct Partial: Sendable {
    var report = VerifyReport()
    var failure: OpsError?
    var entries = 0
    /// Of the events and entries, those that the database holds.
    var hot = (events: 0, entries: 0)

    mutating func merge(_ other: Result<Partial, OpsError>) {
      switch other {
      case .failure(let error): failure = failure ?? error
      case .success(let part):
        report.events += part.report.events
        report.rows.merge(part.report.rows, uniquingKeysWith: +)
        report.add(part.report.differences, count: part.report.differenceCount)
        report.logProblems += part.report.logProblems
        report.bookProblems += part.report.bookProblems
        report.streams.formUnion(part.report.streams)
        for warning in part.report.warnings where !report.warnings.contains(warning) {
          report.warnings.append(warning)
        }
        entries += part.entries
        hot = (hot.events + part.hot.events, hot.entries + part.hot.entries)
      }
    }
  }

  private static func compare(
    _ slices: [Slice], _ target: Session.Target, snapshot: String, _ progress: ReplayProgress
  ) throws(OpsError) -> Partial {
    let session = try Session(target)
    let reader = try SharedSnapshot.join(snapshot, session)
    var partial = Partial()
    for slice in slices {
      let fold = try slice.fold(on: reader, progress)
      var comparison = Comparison(fold, slice, on: reader.connection)
      try comparison.run()
      partial.take(comparison)
    }
    return partial
  }

  /// Entries are whole: an event that was removed from the end of a stream leaves no gap in the
  /// stream, but in its entry.
  /// What has left is held together by its segments' roots.
  private static func checkEntries(
    _ reader: LogReader, _ partial: inout Partial
  ) throws(OpsError) {
    let problems = try brokenEntries(
      entries: partial.hot.entries, events: partial.hot.events, on: reader)
    for problem in problems { partial.report.note(problem) }
  }

  /// Entries that lack events, or have more than their command recorded.
  ///
  /// - Parameters:
  ///   - entries: How many the replay met of those that the database holds.
  ///   - events: The same, of events: where both are what the commands say, no entry is looked at.
  static func brokenEntries(
    entries: Int, events: Int, on reader: LogReader
  ) throws(OpsError) -> [LogProblem] {
    var last = Parameters()
    last.int8(reader.coldLast)
    return try onDatabase { () throws(PostgresError) in
      let sums = try reader.connection.query(commandSums, last)
      if try sums.int8(0, 0) == entries, try sums.int8(0, 1) == events { return [LogProblem]() }
      let rows = try reader.connection.query(entriesWithoutAllEvents, last)
      var problems: [LogProblem] = []
      for row in 0..<rows.count {
        problems.append(
          LogProblem(
            entry: try rows.int8(row, 0),
            .eventsMissing(expected: try rows.int8(row, 1), found: try rows.int8(row, 2))))
      }
      return problems
    }
  }

  private static let commandSums = Statement(
    """
    SELECT count(*), coalesce(sum(events), 0)::bigint FROM ledger.commands WHERE entry > $1::bigint
    """)

  private static let entriesWithoutAllEvents = Statement(
    """
    SELECT entry, greatest(e.top + 1, c.events)::bigint, coalesce(e.n, 0)
    FROM (SELECT entry, count(*) AS n, max(index) AS top FROM ledger.events GROUP BY entry) AS e
    FULL JOIN (SELECT * FROM ledger.commands WHERE entry > $1::bigint) AS c USING (entry)
    WHERE e.n IS DISTINCT FROM e.top + 1 OR e.n <> c.events OR e.n IS NULL
    ORDER BY entry LIMIT 1000
    """)

  private static func finish(
    _ session: Session, _ reader: LogReader, _ partial: inout Partial
  ) throws(OpsError) {
    let last = try session.query(Statement("SELECT coalesce(max(entry), 0) FROM ledger.events"))
    partial.report.entry = max(
      try onDatabase { () throws(PostgresError) in try last.int8(0, 0) }, reader.coldLast)
    partial.report.notCovered = try notCovered(session)
    try checkReferences(session, &partial.report)
  }

  /// What the log says nothing of: columns that operators added are theirs.
  static func notCovered(_ session: Session) throws(OpsError) -> [String] {
    let others = try session.query(otherColumns, knownColumns())
    return try onDatabase { () throws(PostgresError) in
      var names: [String] = []
      for row in 0..<others.count { names.append(try others.text(row, 0)) }
      return names
    }
  }

  private static let otherColumns = Statement(
    """
    SELECT format('%I.%I', c.relname, a.attname)
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
      AND c.relname = ANY ($1::text[])
      AND NOT c.relname || '.' || a.attname = ANY ($2::text[])
    ORDER BY c.relname, a.attnum
    """)

  private static func knownColumns() -> Parameters {
    let tables = NounName.allCases.filter(\.isOfTheEight).map(TableText.of)
    var parameters = Parameters()
    parameters.texts(tables.map(\.table))
    parameters.texts(
      tables.flatMap { table in table.columns.map { table.table + "." + $0.name } })
    return parameters
  }

  /// What the foreign keys promise, also where they were off for a while. A column that differs from
  /// the log is named once.
  private static func checkReferences(
    _ session: Session, _ report: inout VerifyReport
  ) throws(OpsError) {
    for reference in References.all {
      let rows = try session.query(Statement(reference.orphans))
      let orphans = try onDatabase { () throws(PostgresError) in
        var orphans: [Difference] = []
        for row in 0..<rows.count {
          orphans.append(
            Difference(
              table: reference.table, row: try rows.text(row, 0), column: reference.column,
              expected: "a row of \(reference.parent)", found: try rows.text(row, 1)))
        }
        return orphans
      }
      let fresh = orphans.filter { orphan in
        !report.differences.contains {
          $0.table == orphan.table && $0.row == orphan.row && $0.column == orphan.column
        }
      }
      report.add(fresh, count: fresh.count)
    }
  }
}

/// The references between the eight tables.
struct References: Sendable {
  let table: String
  let column: String
  let parent: String

  static let all = [
    References(table: "ops_missions", column: "proposal_id", parent: "ops_mission_proposals"),
    References(table: "ops_mission_steps", column: "mission_id", parent: "ops_missions"),
    References(table: "ops_agent_events", column: "mission_id", parent: "ops_missions"),
    References(table: "ops_agent_reactions", column: "event_id", parent: "ops_agent_events"),
    References(table: "ops_action_runs", column: "step_id", parent: "ops_mission_steps"),
  ]

  /// Rows that name a parent which is not there.
  var orphans: String {
    """
    SELECT t.id::text, t.\(column)::text FROM \(table) AS t
    WHERE t.\(column) IS NOT NULL
      AND NOT EXISTS (SELECT FROM \(parent) AS p WHERE p.id = t.\(column)) LIMIT 1000
    """
  }
}

extension Verifier.Partial {
  mutating func take(_ comparison: Comparison) {
    let fold = comparison.fold
    report.events += fold.eventCount
    entries += fold.entryCount
    hot.events += fold.eventCount - fold.cold.events
    hot.entries += fold.entryCount - fold.cold.entries
    report.rows.merge(comparison.rowsCompared, uniquingKeysWith: +)
    report.add(comparison.differences, count: comparison.differenceCount)
    if report.streams.count <= Rebuilder.targetedMax {
      report.streams.formUnion(comparison.streams)
    }
    for problem in fold.context.problems { report.note(problem) }
    report.note(ofBooks: comparison.bookDifferences)
    if fold.context.clockRanBack > 0 {
      report.warnings.append("the clock ran back between events of one stream")
    }
  }
}

extension VerifyReport {
  mutating func add(_ some: [Difference], count: Int) {
    differenceCount += count
    differences += some.prefix(Self.describedMax - min(differences.count, Self.describedMax))
  }

  mutating func note(ofBooks some: [Difference]) {
    bookProblems += some.count
    add(some, count: some.count)
  }

  mutating func note(_ problem: LogProblem) {
    logProblems += 1
    add([problem.difference], count: 1)
  }
}
