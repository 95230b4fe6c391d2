import Dispatch
public import JSON
public import Ledger
public import Log
import Postgres

/// The result of a rebuild.
public struct RebuildReport: Sendable {
  public enum Outcome: Sendable {
    /// The tables equalled the log already.
    case equal
    /// `--check`: the tables differ, and nothing was written.
    case wouldWrite
    case rebuilt
    /// The log itself is broken. Tables made from it would make its faults official.
    case refused
  }

  public var outcome: Outcome
  /// The comparison before anything was written.
  public var found: VerifyReport
  public var written: [String: RepairCount] = [:]
  /// The entry that records the rebuild.
  public var entry: Int64?
  /// Constraints and indexes that the rows break and that are therefore missing or NOT VALID, and triggers that were
  /// not run.
  public var droppedConstraints: [DroppedConstraints] = []
}

/// Makes the tables from the log. It writes the rows that differ, and no others.
public enum Rebuilder {
  /// How the log records a rebuild, in the transaction that writes the rows.
  public enum Recording: Sendable {
    case rebuilt
    /// As the end of a restore, with the restore's facts.
    case restored([String: JSON], why: String?)
  }

  /// Up to this many differing streams are folded alone, while writers wait for about a second. If there are more, the
  /// whole log is folded under the lock.
  static let targetedMax = 20_000

  /// Also repairs the bookkeeping tables (``Bookkeeping``), except when it fills empty tables.
  ///
  /// - Parameters:
  ///   - recording: The event that records the rebuild.
  ///   - proven: The entry up to which the caller has compared the log with its recorded roots. Nil: this function
  ///     compares them, unless the tables are empty.
  ///   - lockAttemptsMax: How often it tries to lock the tables, about two seconds each time.
  /// - Throws: `OPS_012` if it cannot lock the tables, naming who holds them, or if the tables still differ afterwards;
  ///   `OPS_013` if the login may not take the repair role.
  public static func run(
    _ target: Session.Target, actor: String, checkOnly: Bool, recording: Recording = .rebuilt,
    proven: Int64? = nil, _ progress: ReplayProgress = ReplayProgress(), lockAttemptsMax: Int = 30
  ) throws(OpsError) -> RebuildReport {
    let session = try Session(target)
    let rebuild = Rebuild(session, actor, recording, progress, attemptsMax: lockAttemptsMax)
    var report: RebuildReport
    var latest: VerifyReport
    if !checkOnly, try isEmpty(session) {
      report = try writing { (isAll) throws(OpsError) in
        try rebuild.writeAll(VerifyReport(), isAll ? .allEmpty : .empty)
      }
      guard case .rebuilt = report.outcome else { return report }
      latest = report.found
      // An operator's trigger may have changed the rows.
      if try hasForeignTriggers(session) {
        latest = try Verifier.run(target, proven: 0, progress)
      }
    } else {
      let found = try Verifier.run(target, proven: proven, progress)
      if found.logProblems > 0 { return RebuildReport(outcome: .refused, found: found) }
      if found.isEqual {
        return RebuildReport(
          outcome: .equal, found: found,
          droppedConstraints: checkOnly ? [] : try PutBack.run(session))
      }
      if checkOnly { return RebuildReport(outcome: .wouldWrite, found: found) }
      (report, latest) = (RebuildReport(outcome: .rebuilt, found: found), found)
    }
    let provenEntry = latest.provenEntry
    for _ in 0..<3
    where !latest.isEqual && latest.logProblems == 0
      && (latest.tablesAreEqual || !latest.streams.isEmpty)
    {
      let differing = latest
      let next = try writing { (isAll) throws(OpsError) in
        differing.streams.count <= targetedMax
          ? try rebuild.writeStreams(differing, isAll ? .all : nil)
          : try rebuild.writeAll(differing, isAll ? .all : .bulk)
      }
      report.written.merge(next.written) { $0 + $1 }
      report.entry = next.entry ?? report.entry
      report.droppedConstraints += next.droppedConstraints
      guard case .rebuilt = next.outcome else { return next }
      latest = try Verifier.run(target, proven: provenEntry, progress)
    }
    guard latest.isEqual else {
      throw OpsError(
        .conflict, "the tables still differ from the log in \(latest.differenceCount) places",
        hint: "`opsledger verify` lists them; another program or a trigger may write the tables")
    }
    // Rows may have changed since a key was dropped, so the key may be possible again.
    report.droppedConstraints = try PutBack.run(session, after: report.droppedConstraints)
    return report
  }

  /// Runs `body`. If the tables refuse a row, runs it again without everything that could refuse one (`isAll`).
  static func writing<R>(_ body: (_ isAll: Bool) throws(OpsError) -> R) throws(OpsError) -> R {
    do throws(OpsError) { return try body(false) } catch {
      guard error.isOfTheTables else { throw error }
      return try body(true)
    }
  }

  private static func hasForeignTriggers(_ session: Session) throws(OpsError) -> Bool {
    var parameters = Parameters()
    parameters.texts(TableText.eight.map(\.table))
    let rows = try session.query(
      Statement(
        """
        SELECT EXISTS (SELECT FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
          WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1::text[])
            AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgname NOT LIKE 'capture\\_%')
        """), parameters)
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }

  private static func isEmpty(_ session: Session) throws(OpsError) -> Bool {
    let any = TableText.eight.map { "EXISTS (SELECT FROM \($0.relation))" }
    let rows = try session.query(
      Statement(
        "SELECT NOT (\(any.joined(separator: " OR "))) AND (EXISTS (SELECT FROM ledger.events) "
          + "OR EXISTS (SELECT FROM ledger.confirmed_archived_partitions()))"))
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }
}

/// One transaction of a rebuild, under the lock and as the repair role.
final class Rebuild {
  let session: Session
  let actor: String
  private let recording: Rebuilder.Recording
  let progress: ReplayProgress
  private let attemptsMax: Int
  private(set) var written: [String: RepairCount] = [:]
  private(set) var droppedConstraints: [DroppedConstraints] = []

  init(
    _ session: Session, _ actor: String, _ recording: Rebuilder.Recording,
    _ progress: ReplayProgress, attemptsMax: Int
  ) {
    self.recording = recording
    self.attemptsMax = attemptsMax
    self.session = session
    self.actor = actor
    self.progress = progress
  }

  // MARK: Few rows

  /// Folds the differing streams again, under the lock, and writes the rows that still differ.
  ///
  /// - Parameter extent: What to drop meanwhile; nil for nothing.
  func writeStreams(
    _ found: VerifyReport, _ extent: Constraints.Extent?
  ) throws(OpsError) -> RebuildReport {
    try locked { (connection) throws(OpsError) in
      var report = RebuildReport(outcome: .rebuilt, found: found)
      let slice = Slice.streams(Array(found.streams))
      let fold = try slice.fold(
        on: LogReader(self.session.target, on: connection), ReplayProgress())
      guard fold.context.problems.isEmpty else { return report.refused(for: fold.context.problems) }
      let constraints = try extent.map { (extent) throws(OpsError) in
        try self.dropped(connection, extent)
      }
      try self.repair(fold, slice, connection)
      if let constraints { try self.make(constraints, connection) }
      try self.repairBookkeeping(found, connection)
      try self.record(&report, connection)
      return report
    }
  }

  private func repairBookkeeping(
    _ found: VerifyReport, _ connection: Connection
  ) throws(OpsError) {
    guard found.bookkeepingProblems > 0 else { return }
    let reader = try LogReader(session.target, on: connection)
    let counts = try Bookkeeping.repair(reader, roots: found.wrongRoots)
    written.merge(counts) { $0 + $1 }
  }

  func repair(
    _ fold: Fold, _ slice: Slice, _ connection: Connection
  ) throws(OpsError) {
    // No event records these writes. The last comparison must therefore find nothing: an operator's trigger or foreign
    // key may have changed repaired rows, and then either they are repaired too, or nothing is committed.
    for _ in 0..<3 {
      var comparison = Comparison(fold, slice, on: connection)
      try comparison.run()
      if comparison.streams.isEmpty { return }
      var repair = Repair(comparison, on: connection)
      try repair.run()
      written.merge(repair.counts) { $0 + $1 }
    }
    throw OpsError(
      .conflict, "the tables differ from the log again after three repairs; nothing was written",
      hint:
        "another program or a trigger may write the tables; psql's \\d TABLE lists the triggers",
      cause: .tablesChanged)
  }

  // MARK: All rows

  private struct FoldedSlice {
    let fold: Fold
    let slice: Slice
    /// The rows for empty tables.
    let filled: [Fill.Filled]
  }

  /// Folds all streams and writes them slice by slice: into empty tables by COPY, else the rows that differ.
  func writeAll(
    _ found: VerifyReport, _ extent: Constraints.Extent
  ) throws(OpsError) -> RebuildReport {
    let (rows, events) = try session.estimate()
    progress.expect(events)
    return try locked { (connection) throws(OpsError) in
      var report = RebuildReport(outcome: .rebuilt, found: found)
      var replayed = 0
      let snapshot = try onDatabase { () throws(PostgresError) in
        try connection.query(SharedSnapshot.export).text(0, 0)
      }
      // The workers fold ahead while this thread writes a slice.
      let stream = FoldStream<FoldedSlice>(
        try LogReader(self.session.target, on: connection).slices(
          Slice.count(rows: rows, countMin: 4)),
        self.session.target, snapshot: snapshot, workers: Slice.workers - 1, self.progress,
        make: { (fold, slice) throws(OpsError) in
          guard extent.isEmpty else { return FoldedSlice(fold: fold, slice: slice, filled: []) }
          let fill = try Fill(fold)
          return FoldedSlice(fold: fill.fold, slice: slice, filled: fill.tables)
        })
      defer { stream.stop() }
      let constraints = try self.dropped(connection, extent)
      while let made = try stream.next() {
        let problems = made.fold.context.problems
        guard problems.isEmpty else { return report.refused(for: problems) }
        replayed += made.fold.eventCount
        if extent.isEmpty {
          try self.fill(made, connection)
        } else {
          try self.repair(made.fold, made.slice, connection)
        }
      }
      let broken = try self.brokenEntries(found, snapshot, connection)
      guard broken.isEmpty else { return report.refused(for: broken) }
      try self.repairBookkeeping(found, connection)
      report.found.events = replayed
      try self.make(constraints, connection)
      try self.record(&report, connection)
      return report
    }
  }

  /// Copies the rows of the eight tables. Holds and the ledger's own row, which may exist, remain in the fold.
  private func fill(_ made: FoldedSlice, _ connection: Connection) throws(OpsError) {
    for filled in made.filled {
      written[filled.table, default: RepairCount()].inserted += try filled.write(on: connection)
    }
    let others = made.fold.ledger.slots.map(\.stream) + made.fold.holds.slots.map(\.stream)
    if !others.isEmpty { try repair(made.fold, .streams(others), connection) }
  }

  /// Entries that lack events. If a recorded root proves the log up to an entry, the seal's count is wrong, and the entry
  /// is left out.
  private func brokenEntries(
    _ found: VerifyReport, _ snapshot: String, _ connection: Connection
  ) throws(OpsError) -> [LogProblem] {
    let reader = try LogReader(session.target, on: connection)
    let faults = try Verifier.holes(reader) + Verifier.sealFaults(reader)
    if faults.isEmpty { return [] }
    let proven =
      found.provenEntry > 0
      ? found.provenEntry : try RootCheck.run(session.target, snapshot: snapshot).proven
    return faults.filter { $0.isOfLog || $0.entry > proven }.map(\.problem)
  }

  /// Drops what is in the way, and returns what makes it again.
  func dropped(
    _ connection: Connection, _ extent: Constraints.Extent
  ) throws(OpsError) -> Constraints {
    try onDatabase { () throws(PostgresError) in
      let constraints = try Constraints(of: connection, extent)
      try constraints.drop(on: connection)
      return constraints
    }
  }

  func make(_ constraints: Constraints, _ connection: Connection) throws(OpsError) {
    droppedConstraints += try onDatabase { () throws(PostgresError) in
      // One process a core sorts the indexes. Other statements of this session use no parallel plan.
      try connection.execute(
        """
        SET LOCAL maintenance_work_mem = '256MB';
        SET LOCAL max_parallel_maintenance_workers = \(Slice.workers - 1);
        SET LOCAL min_parallel_table_scan_size = '1MB'
        """)
      return try constraints.make(on: connection)
    }
  }

  // MARK: The transaction

  /// Runs `body` while the projections are locked against writers. Commits if the outcome is `rebuilt`.
  func locked(
    _ body: (Connection) throws(OpsError) -> RebuildReport
  ) throws(OpsError) -> RebuildReport {
    var attempt = 0
    while true {
      let connection = try lock()
      defer { try? connection.rollbackIfOpen() }
      do throws(OpsError) {
        (written, droppedConstraints) = ([:], [])
        try onDatabase { () throws(PostgresError) in try PrimaryKeys.putBack(on: connection) }
        let report = try body(connection)
        guard case .rebuilt = report.outcome else { return report }
        try onDatabase { () throws(PostgresError) in try connection.execute("COMMIT") }
        return report
      } catch {
        // Dropping a key takes a stronger lock, for which every reader must have ended its transaction.
        guard error.isLockTimeout else { throw error }
        guard attempt < attemptsMax else {
          throw LockHolders.refusal("the tables' keys could not be dropped", session, all: true)
        }
        session.pause(attempt)
        attempt += 1
      }
    }
  }

  /// EXCLUSIVE makes writers wait and lets readers continue. SHARE ROW EXCLUSIVE would deadlock with an engine that has
  /// locked rows and is about to write them.
  private func lock() throws(OpsError) -> Connection {
    let tables = RowType.allCases.map { TableText.of($0).relation }.sorted()
    let sql = """
      SET LOCAL lock_timeout = '2s';
      SET LOCAL idle_in_transaction_session_timeout = 0;
      SET LOCAL ROLE opsledger_repair;
      LOCK TABLE ledger.events IN ACCESS SHARE MODE;
      LOCK TABLE \(tables.joined(separator: ", ")) IN EXCLUSIVE MODE
      """
    for attempt in 0..<attemptsMax {
      let connection = try session.connection()
      do throws(PostgresError) {
        try connection.begin(.readCommitted, sql)
        return connection
      } catch {
        try? connection.rollbackIfOpen()
        guard error.isLockTimeout || error.isDeadlock else { throw OpsError(database: error) }
        session.pause(attempt)
      }
    }
    throw LockHolders.refusal("the tables could not be locked", session, all: false)
  }

  /// Records the rebuild, in the same transaction.
  private func record(
    _ report: inout RebuildReport, _ connection: Connection
  ) throws(OpsError) {
    (report.written, report.droppedConstraints) = (written, droppedConstraints)
    let (row, entry, at) = try onDatabase { () throws(PostgresError) in
      let row = try connection.query(
        Statement("SELECT \(LedgerRecord.text.selectList) FROM ledger.ledger WHERE key = 'main'"))
      let allocated = try connection.query(.alwaysAllocate)
      return (row, try allocated.int8(0, 0), try allocated.timestamptz(0, 1))
    }
    var draft = Draft(at: Instant(micros: at), ids: .random())
    if row.count == 1 { try draft.load(try row.row(0, of: LedgerRecord.self), as: .ledger) }
    let event: LedgerRecord.Event =
      switch recording {
      case .rebuilt: .rebuilt(report: summary(report).text)
      case .restored(let facts, let why):
        .restored(
          report: JSON.object(facts.merging(["rebuilt": summary(report)]) { $1 }).text, why: why)
      }
    draft.append(event, of: LedgerRecord.self, to: .ledger)
    let key = CommandKey(id: newCommandID(), actor: actor)
    let writes = draft.writes(entry: entry, key, session: session)
    _ = try onDatabase { () throws(PostgresError) in try connection.pipeline(writes) }
    report.entry = entry
  }

  /// The log records no content, only that it differed: even a hash would confirm a guess at erased content.
  private func summary(_ report: RebuildReport) -> JSON {
    let listed = report.found.differences.prefix(200).map { difference in
      var listed: [String: JSON] = [
        "table": .string(difference.table), "row": .string(difference.row),
        "column": .string(difference.column),
      ]
      if difference.isStructure {
        listed["expected"] = .optional(difference.expected)
        listed["found"] = .optional(difference.found)
      }
      return JSON.object(listed)
    }
    return .object([
      "events": .int(report.found.events), "tables": written.json,
      "differences": .int(report.found.differenceCount), "listed": .array(Array(listed)),
      "dropped_constraints": droppedConstraints.json,
    ])
  }
}

extension RebuildReport {
  fileprivate func refused(for problems: [LogProblem]) -> RebuildReport {
    var report = self
    report.outcome = .refused
    for problem in problems { report.found.note(problem) }
    return report
  }
}

extension Difference {
  /// Whether the values are structure, not content.
  fileprivate var isStructure: Bool {
    if column == "*" { return true }
    guard let rowType = RowType.allCases.first(where: { TableText.of($0).table == table }) else {
      return false
    }
    return rowType == .ledger || isStructure(of: rowType.type)
  }

  private func isStructure<R: Row>(of rowType: R.Type) -> Bool {
    R.column(named: column)?.part == .data
  }
}
