public import Ledger
public import Log
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
  /// Of the differences, those of what stands beside the log: keys of requests, tombstones, erasures, noted roots and what
  /// is said of events that have left.
  public var bookkeepingProblems = 0
  /// Roots that the database or a store had noted, and that the log was compared with.
  public var roots = 0
  /// The last entry at which the log has one of them.
  public var provenEntry: Int64 = 0
  /// Stores that the log could not be compared with.
  public var unreadStores: [UnreadStore] = []
  public var notCovered: [String] = []
  public var warnings: [String] = []
  /// The streams of the rows that differ, as far as they are few.
  var streams: Set<StreamID> = []
  /// Noted roots that the log proves wrong.
  var wrongRoots: [RootCheck.WrongRow] = []

  public var isEqual: Bool { differenceCount == 0 }
  /// Whether a rebuild has nothing to write.
  var tablesAreEqual: Bool { differenceCount == bookkeepingProblems }
  public static let describedMax = Comparison.describedMax
}

/// Proves that the tables equal the replay of the log.
public enum Verifier {
  /// Replays the log and compares every ledger column of every live row, in one snapshot of both; hashes the log, and
  /// compares it with every root that was noted; and compares what stands beside the log with it. Reads only; writers
  /// go on.
  ///
  /// - Parameters:
  ///   - stores: To compare the log with, too.
  ///   - proven: The entry up to which the caller has compared the log with its roots; nil: they are compared here.
  /// - Throws: `OPS_001`, `OPS_014` where there is no ledger.
  public static func run(
    _ target: Session.Target, against stores: [any StoredHistory] = [], proven: Int64? = nil,
    _ progress: ReplayProgress = ReplayProgress()
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
    let readers = session.readers
    // Behind a pooler one after the other: its pool may have one connection more than the snapshot's.
    let isOneByOne = session.isPooled
    let hashes = proven == nil ? 1 : 0
    concurrently(isOneByOne ? 1 : readers + hashes) { worker in
      if worker < readers {
        let mine = slices.indices.filter { $0 % readers == worker }.map { slices[$0] }
        let result = Result { () throws(OpsError) in
          try compare(mine, target, snapshot: id, progress)
        }
        merged.withLock { $0.merge(result) }
      }
      if worker == readers || isOneByOne && hashes > 0 {
        let result = Result { () throws(OpsError) in
          Partial(try RootCheck.run(target, snapshot: id, stores))
        }
        merged.withLock { $0.merge(result) }
      }
    }
    var partial = merged.withLock { $0 }
    if let failure = partial.failure { throw failure }
    partial.report.provenEntry = proven ?? partial.report.provenEntry
    try checkEntries(reader, &partial)
    var bookkeeping = BookkeepingCheck(reader)
    try bookkeeping.run()
    partial.report.note(ofBookkeeping: bookkeeping.differences)
    if let late = try LateEntries(on: reader.connection) {
      partial.report.note(ofBookkeeping: late.differences)
      partial.report.warnings.append(late.warning)
    }
    try finish(session, reader, &partial)
    return partial.report
  }

  /// What the workers found, put together.
  struct Partial: Sendable {
    var report = VerifyReport()
    var failure: OpsError?

    mutating func merge(_ other: Result<Partial, OpsError>) {
      switch other {
      case .failure(let error): failure = failure ?? error
      case .success(let part):
        report.events += part.report.events
        report.rows.merge(part.report.rows, uniquingKeysWith: +)
        report.add(part.report.differences, count: part.report.differenceCount)
        report.logProblems += part.report.logProblems
        report.bookkeepingProblems += part.report.bookkeepingProblems
        report.streams.formUnion(part.report.streams)
        report.roots += part.report.roots
        report.provenEntry = max(report.provenEntry, part.report.provenEntry)
        report.wrongRoots += part.report.wrongRoots
        report.unreadStores += part.report.unreadStores
        for warning in part.report.warnings where !report.warnings.contains(warning) {
          report.warnings.append(warning)
        }
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

  /// The log has as many events as were sealed: one that was removed from the end of a stream leaves no gap there, but
  /// in its entry, or in its seal. What has left is held together by its segments' roots.
  ///
  /// A seal that counts other events is itself at fault where a noted root holds the entry, or everything else agrees
  /// with the log.
  private static func checkEntries(
    _ reader: LogReader, _ partial: inout Partial
  ) throws(OpsError) {
    let faults = try holes(reader) + sealFaults(reader)
    let isElseEqual = partial.report.differenceCount == partial.report.bookkeepingProblems
    for fault in faults {
      if !fault.isOfLog, isElseEqual || fault.entry <= partial.report.provenEntry {
        partial.report.note(ofBookkeeping: [fault.difference])
      } else {
        partial.report.note(fault.problem)
      }
    }
  }

  /// Entries have fewer events than they had, or more.
  struct EntryFault {
    /// The first of them, and the last: those after one seal, up to the next; or one that has a hole.
    let entries: ClosedRange<Int64>
    let expected: Int64
    let found: Int64
    /// The entry has a hole.
    let isOfLog: Bool

    var entry: Int64 { entries.upperBound }

    var problem: LogProblem {
      LogProblem(
        entry: entries.lowerBound,
        .eventsMissing(upTo: entries.upperBound, expected: expected, found: found))
    }

    var difference: Difference {
      Difference(
        table: "ledger.checkpoints", row: "\(entry)", column: "size",
        expected: "\(found) events after entry \(entries.lowerBound - 1)", found: "\(expected)")
    }
  }

  /// Entries that lack an event between two others.
  static func holes(_ reader: LogReader) throws(OpsError) -> [EntryFault] {
    try entryFaults(entriesWithHoles, reader)
  }

  /// Entries between two seals that have more or fewer events than the seals count.
  static func sealFaults(_ reader: LogReader) throws(OpsError) -> [EntryFault] {
    try entryFaults(sealsOfOtherEvents, reader)
  }

  private static func entryFaults(
    _ statement: Statement, _ reader: LogReader
  ) throws(OpsError) -> [EntryFault] {
    var last = Parameters()
    last.int8(reader.archivedLast)
    return try onDatabase { () throws(PostgresError) in
      let rows = try reader.connection.query(statement, last)
      return try (0..<rows.count).map { (row) throws(PostgresError) in
        let (first, last) = (try rows.int8(row, 0), try rows.int8(row, 1))
        return EntryFault(
          entries: min(first, last)...last, expected: try rows.int8(row, 2),
          found: try rows.int8(row, 3), isOfLog: try rows.bool(row, 4))
      }
    }
  }

  private static let entriesWithHoles = Statement(
    """
    SELECT entry, entry, (max(index) + 1)::bigint, count(*), true FROM ledger.events
    WHERE entry > $1::bigint GROUP BY entry HAVING count(*) <> max(index) + 1
    ORDER BY entry LIMIT 1000
    """)

  /// Each checkpoint counts all events up to it, so that what lies between two of them is told by their difference.
  private static let sealsOfOtherEvents = Statement(
    """
    SELECT s.after + 1, s.entry, s.expected, e.found, false
    FROM (SELECT c.entry, coalesce(lag(c.entry) OVER up, 0) AS after,
        c.size - coalesce(lag(c.size) OVER up, 0) AS expected
      FROM ledger.checkpoints AS c WHERE c.size IS NOT NULL AND c.entry >= $1::bigint
      WINDOW up AS (ORDER BY c.entry, c.root IS NULL)
    ) AS s CROSS JOIN LATERAL (
      SELECT count(*) AS found FROM ledger.events AS e WHERE e.entry > s.after AND e.entry <= s.entry) AS e
    WHERE s.after >= $1::bigint AND s.expected <> e.found
    ORDER BY s.entry LIMIT 1000
    """)

  private static func finish(
    _ session: Session, _ reader: LogReader, _ partial: inout Partial
  ) throws(OpsError) {
    let last = try session.query(Statement("SELECT coalesce(max(entry), 0) FROM ledger.events"))
    partial.report.entry = max(
      try onDatabase { () throws(PostgresError) in try last.int8(0, 0) }, reader.archivedLast)
    partial.report.notCovered = try notCovered(session)
    try checkReferences(session, &partial.report)
    do throws(OpsError) { partial.report.warnings += try session.notInForce() } catch {
      if error.code == .databaseUnreachable { throw error }
      partial.report.warnings.append("constraints could not be looked at: \(error.message)")
    }
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
    let tables = RowType.allCases.filter(\.isOfTheEight).map(TableText.of)
    var parameters = Parameters()
    parameters.texts(tables.map(\.table))
    parameters.texts(
      tables.flatMap { table in table.columns.map { table.table + "." + $0.name } })
    return parameters
  }

  /// What the foreign keys promise and the rows do not keep. The rows are what the log says, so nothing differs: it is
  /// said, and a rebuild leaves the foreign key NOT VALID.
  private static func checkReferences(
    _ session: Session, _ report: inout VerifyReport
  ) throws(OpsError) {
    for reference in References.all {
      let rows = try session.query(Statement(reference.orphans))
      guard !rows.isEmpty else { continue }
      let (row, parent) = try onDatabase { () throws(PostgresError) in
        (try rows.text(0, 0), try rows.text(0, 1))
      }
      let count = rows.count < References.orphansMax ? "\(rows.count)" : "at least \(rows.count)"
      report.warnings.append(
        "\(count) of \(reference.table) name a row of \(reference.parent) that is not there, as \(row) "
          + "with \(reference.column) \(parent)")
    }
  }
}

/// The references between the eight tables.
struct References: Sendable {
  let table: String
  let column: String
  let parent: String

  static let orphansMax = 1000

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
    SELECT t.id::text, t.\(column)::text FROM public.\(table) AS t
    WHERE t.\(column) IS NOT NULL
      AND NOT EXISTS (SELECT FROM public.\(parent) AS p WHERE p.id = t.\(column)) LIMIT \(Self.orphansMax)
    """
  }
}

extension Verifier.Partial {
  init(_ check: RootCheck) {
    report.roots = check.compared
    report.provenEntry = check.proven
    report.wrongRoots = check.wrongRows
    report.unreadStores = check.unread
    for problem in check.problems { report.note(problem) }
    report.note(ofBookkeeping: check.wrongRows.map(\.difference))
  }

  mutating func take(_ comparison: Comparison) {
    let fold = comparison.fold
    report.events += fold.eventCount
    report.rows.merge(comparison.rowsCompared, uniquingKeysWith: +)
    report.add(comparison.differences, count: comparison.differenceCount)
    if report.streams.count <= Rebuilder.targetedMax {
      report.streams.formUnion(comparison.streams)
    }
    for problem in fold.context.problems { report.note(problem) }
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

  mutating func note(ofBookkeeping some: [Difference]) {
    bookkeepingProblems += some.count
    add(some, count: some.count)
  }

  mutating func note(_ problem: LogProblem) {
    logProblems += 1
    add([problem.difference], count: 1)
  }
}
