public import Ledger
public import Log
import Postgres
import Synchronization
import Threads

/// The result of `verify`.
public struct VerifyReport: Sendable {
  /// The last entry that was replayed.
  public var entry: Int64 = 0
  public var events = 0
  /// Rows compared, by table.
  public var rows: [String: Int] = [:]
  /// The first ``Comparison/describedMax`` differences.
  public var differences: [Difference] = []
  public var differenceCount = 0
  /// How many differences are faults of the log itself, which no rebuild can repair.
  public var logProblems = 0
  /// How many differences are in the bookkeeping tables and in recorded roots.
  public var bookkeepingProblems = 0
  /// How many recorded roots, of the database and of stores, the log was compared with.
  public var roots = 0
  /// The last entry at which the log has a recorded root.
  public var provenEntry: Int64 = 0
  /// Stores that the log could not be compared with.
  public var unreadStores: [UnreadStore] = []
  public var notCovered: [String] = []
  public var warnings: [String] = []
  /// The streams of the rows that differ, or some of them if they are more than ``Rebuilder/targetedMax``.
  var streams: Set<StreamID> = []
  /// Recorded roots that the log proves wrong.
  var wrongRoots: [RootCheck.WrongRow] = []

  public var isEqual: Bool { differenceCount == 0 }
  /// Whether only the bookkeeping differs.
  var tablesAreEqual: Bool { differenceCount == bookkeepingProblems }
}

/// Proves that the tables equal the replay of the log.
public enum Verifier {
  /// Replays the log and compares every ledger column of every live row, in one database snapshot. Also hashes the log,
  /// compares it with every recorded root, and compares the bookkeeping tables with it. It only reads, and blocks no
  /// writer.
  ///
  /// - Parameters:
  ///   - stores: Stores to compare the log with.
  ///   - proven: The entry up to which the caller has compared the log with its roots; nil: this function does.
  /// - Throws: `OPS_001`, or `OPS_014` if the database has no ledger.
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
    let merged = Mutex<Result<VerifyReport, OpsError>>(.success(VerifyReport()))
    let readers = session.readers
    // A pooler's pool may have one connection more than the snapshot's, so one thread does everything.
    let isOneByOne = session.isPooled
    let hashes = proven == nil ? 1 : 0
    concurrently(isOneByOne ? 1 : readers + hashes) { worker in
      func merge(_ part: Result<VerifyReport, OpsError>) {
        merged.withLock { $0 = $0.flatMap { sum in part.map { sum.merged(with: $0) } } }
      }
      if worker < readers {
        let mine = slices.indices.filter { $0 % readers == worker }.map { slices[$0] }
        merge(
          Result { () throws(OpsError) in try compare(mine, target, snapshot: id, progress) })
      }
      if worker == readers || isOneByOne && hashes > 0 {
        merge(
          Result { () throws(OpsError) in
            VerifyReport(try RootCheck.run(target, snapshot: id, stores))
          })
      }
    }
    var report = try merged.withLock { $0 }.get()
    report.provenEntry = proven ?? report.provenEntry
    try checkEntries(reader, &report)
    var bookkeeping = BookkeepingCheck(reader)
    try bookkeeping.run()
    report.note(ofBookkeeping: bookkeeping.differences)
    if let late = try LateEntries(reader) {
      report.note(ofBookkeeping: late.differences)
      report.warnings.append(late.warning)
    }
    let last = try session.query(Statement("SELECT coalesce(max(entry), 0) FROM ledger.events"))
    report.entry = max(
      try onDatabase { () throws(PostgresError) in try last.int8(0, 0) }, reader.archivedLast)
    report.notCovered = try notCovered(session)
    try checkReferences(session, &report)
    do throws(OpsError) { report.warnings += try session.notInForce() } catch {
      if error.code == .databaseUnreachable { throw error }
      report.warnings.append("constraints could not be checked: \(error.message)")
    }
    return report
  }

  private static func compare(
    _ slices: [Slice], _ target: Session.Target, snapshot: String, _ progress: ReplayProgress
  ) throws(OpsError) -> VerifyReport {
    let session = try Session(target)
    let reader = try SharedSnapshot.join(snapshot, session)
    var report = VerifyReport()
    for slice in slices {
      var comparison = Comparison(
        try slice.fold(on: reader, progress), slice, on: reader.connection)
      try comparison.run()
      report.take(comparison)
    }
    return report
  }

  /// Checks that the log has as many events as were sealed. If somebody removed the last event of a stream, the versions
  /// of that stream show no gap, but its entry or the seal does. The roots of segments prove the archived part.
  ///
  /// If a seal's count does not match, the seal is wrong if a recorded root proves its entry, or if everything else
  /// agrees with the log.
  private static func checkEntries(
    _ reader: LogReader, _ report: inout VerifyReport
  ) throws(OpsError) {
    let isElseEqual = report.tablesAreEqual
    for fault in try holes(reader) + sealFaults(reader) {
      if !fault.isOfLog, isElseEqual || fault.entry <= report.provenEntry {
        report.note(ofBookkeeping: [fault.difference])
      } else {
        report.note(fault.problem)
      }
    }
  }

  /// Entries with fewer or more events than they should have.
  struct EntryFault {
    /// The entries between two seals, or the one entry that lacks an event.
    let entries: ClosedRange<Int64>
    let expected: Int64
    let found: Int64
    /// Whether an entry lacks an event. Else a seal's count does not match.
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
    let rows = try reader.query(statement, Parameters(reader.archivedLast))
    return try onDatabase { () throws(PostgresError) in
      try (0..<rows.count).map { (row) throws(PostgresError) in
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

  /// A checkpoint counts all events up to its entry. The difference of two checkpoints counts the events between them.
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

  /// Columns of the eight tables that the log does not describe: operators added them.
  static func notCovered(_ session: Session) throws(OpsError) -> [String] {
    var parameters = Parameters()
    parameters.texts(TableText.eight.map(\.table))
    parameters.texts(TableText.columnsOfTheEight)
    return try session.query(otherColumns, parameters).texts()
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

  /// Warns of rows that break a foreign key. They are no differences: the log has these rows too. A rebuild leaves such
  /// a foreign key NOT VALID.
  private static func checkReferences(
    _ session: Session, _ report: inout VerifyReport
  ) throws(OpsError) {
    for reference in Reference.all {
      let rows = try session.query(Statement(reference.orphans))
      guard !rows.isEmpty else { continue }
      let (row, parent) = try onDatabase { () throws(PostgresError) in
        (try rows.text(0, 0), try rows.text(0, 1))
      }
      let count = rows.count < Reference.orphansMax ? "\(rows.count)" : "at least \(rows.count)"
      report.warnings.append(
        "\(count) row(s) of \(reference.table) name a row of \(reference.parent) that does not exist, for example "
          + "\(row) with \(reference.column) \(parent)")
    }
  }
}

/// A foreign key between two of the eight tables.
struct Reference: Sendable {
  let table: String
  let column: String
  let parent: String

  static let orphansMax = 1000

  static let all = [
    Reference(table: "ops_missions", column: "proposal_id", parent: "ops_mission_proposals"),
    Reference(table: "ops_mission_steps", column: "mission_id", parent: "ops_missions"),
    Reference(table: "ops_agent_events", column: "mission_id", parent: "ops_missions"),
    Reference(table: "ops_agent_reactions", column: "event_id", parent: "ops_agent_events"),
    Reference(table: "ops_action_runs", column: "step_id", parent: "ops_mission_steps"),
  ]

  /// Rows that name a parent that does not exist.
  var orphans: String {
    """
    SELECT t.id::text, t.\(column)::text FROM public.\(table) AS t
    WHERE t.\(column) IS NOT NULL
      AND NOT EXISTS (SELECT FROM public.\(parent) AS p WHERE p.id = t.\(column)) LIMIT \(Self.orphansMax)
    """
  }
}

extension VerifyReport {
  fileprivate init(_ check: RootCheck) {
    roots = check.compared
    provenEntry = check.proven
    wrongRoots = check.wrongRows
    unreadStores = check.unread
    for problem in check.problems { note(problem) }
    note(ofBookkeeping: check.wrongRows.map(\.difference))
  }

  fileprivate func merged(with part: VerifyReport) -> VerifyReport {
    var sum = self
    sum.events += part.events
    sum.rows.merge(part.rows, uniquingKeysWith: +)
    sum.add(part.differences, count: part.differenceCount)
    sum.logProblems += part.logProblems
    sum.bookkeepingProblems += part.bookkeepingProblems
    sum.streams.formUnion(part.streams)
    sum.roots += part.roots
    sum.provenEntry = max(sum.provenEntry, part.provenEntry)
    sum.wrongRoots += part.wrongRoots
    sum.unreadStores += part.unreadStores
    for warning in part.warnings where !sum.warnings.contains(warning) {
      sum.warnings.append(warning)
    }
    return sum
  }

  mutating func take(_ comparison: Comparison) {
    let fold = comparison.fold
    events += fold.eventCount
    rows.merge(comparison.rowsCompared, uniquingKeysWith: +)
    add(comparison.differences, count: comparison.differenceCount)
    if streams.count <= Rebuilder.targetedMax { streams.formUnion(comparison.streams) }
    for problem in fold.context.problems { note(problem) }
    if fold.context.clockRanBack > 0 {
      warnings.append("the clock went back between two events of one stream")
    }
  }

  private mutating func add(_ some: [Difference], count: Int) {
    differenceCount += count
    differences += some.prefix(Comparison.describedMax - differences.count)
  }

  fileprivate mutating func note(ofBookkeeping some: [Difference]) {
    bookkeepingProblems += some.count
    add(some, count: some.count)
  }

  mutating func note(_ problem: LogProblem) {
    logProblems += 1
    add([problem.difference], count: 1)
  }
}
