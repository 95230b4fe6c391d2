import Dispatch
public import JSON
public import Ledger
public import Log
import Postgres

/// What a rebuild came to.
public struct RebuildReport: Sendable {
  public enum Outcome: Sendable {
    /// The tables equalled the log already.
    case equal
    /// `--check`: it would have written.
    case wouldWrite
    case rebuilt
    /// The log itself is broken; mending the tables by it would make that official.
    case refused
  }

  public var outcome: Outcome
  /// What was found before anything was written.
  public var found: VerifyReport
  public var written: [String: RepairCount] = [:]
  /// The entry that records it.
  public var entry: Int64?
  /// What rows of the log break: constraints that are not in force now, triggers that were not run.
  public var droppedConstraints: [DroppedConstraints] = []
}

/// Makes the tables from the log: the rows that differ are written, and no others.
public enum Rebuilder {
  /// As what a rebuild is recorded, in the transaction that writes the rows.
  public enum Recording: Sendable {
    case rebuilt
    /// The end of a restore, with what it has to say.
    case restored([String: JSON], why: String?)
  }

  /// Up to so many differing rows are mended one by one, while writers wait for about a second;
  /// more, and the whole of the log is folded under the lock.
  static let targetedMax = 20_000

  /// What stands beside the log (``Bookkeeping``) is made again with them, but where all of the tables are filled anew.
  ///
  /// - Parameter recording: What the event that records it is.
  /// - Parameter proven: The entry up to which the caller has compared the log with its roots; nil: they are
  ///   compared here, where the tables are not empty.
  /// - Parameter lockAttemptsMax: How often it tries to lock the tables, some two seconds each.
  /// - Throws: `OPS_012` where the tables cannot be locked, naming who holds them, or never equal the
  ///   log for others' writes; `OPS_013` where the login cannot become the repair role.
  public static func run(
    _ target: Session.Target, actor: String, checkOnly: Bool, recording: Recording = .rebuilt,
    proven: Int64? = nil, _ progress: ReplayProgress = ReplayProgress(), lockAttemptsMax: Int = 30
  ) throws(OpsError) -> RebuildReport {
    let session = try Session(target)
    var report: RebuildReport
    var latest: VerifyReport
    if !checkOnly, try isEmpty(session) {
      let filled = try writing { (isAll) throws(OpsError) in
        try Rebuild(session, actor, recording, progress, attemptsMax: lockAttemptsMax)
          .fill(isAll ? .allEmpty : .empty)
      }
      (report, latest) = (filled, filled.found)
      guard case .rebuilt = filled.outcome else { return filled }
      // Somebody's trigger may have changed what was written.
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
        let rebuild = Rebuild(session, actor, recording, progress, attemptsMax: lockAttemptsMax)
        return differing.streams.count <= targetedMax
          ? try rebuild.repair(differing, isAll ? .all : nil)
          : try rebuild.repairAll(differing, isAll ? .all : .bulk)
      }
      report.written.merge(next.written) { $0 + $1 }
      report.entry = next.entry ?? report.entry
      report.droppedConstraints += next.droppedConstraints
      guard case .rebuilt = next.outcome else { return next }
      latest = try Verifier.run(target, proven: provenEntry, progress)
    }
    guard latest.isEqual else { throw stillDifferent(latest) }
    // A key that was off before, or was left off now for rows that have changed since.
    report.droppedConstraints = try PutBack.run(session, after: report.droppedConstraints)
    return report
  }

  /// Rows come back as the log has them: where something on the tables refuses one, whatever could is taken away.
  static func writing<R>(_ body: (_ isAll: Bool) throws(OpsError) -> R) throws(OpsError) -> R {
    do throws(OpsError) { return try body(false) } catch {
      guard error.isOfTheTables else { throw error }
      return try body(true)
    }
  }

  private static func stillDifferent(_ report: VerifyReport) -> OpsError {
    OpsError(
      .conflict, "the tables still differ from the log in \(report.differenceCount) places",
      hint: "something else writes them, perhaps a trigger; see `opsledger verify`")
  }

  private static func hasForeignTriggers(_ session: Session) throws(OpsError) -> Bool {
    var parameters = Parameters()
    parameters.texts(RowType.allCases.filter(\.isOfTheEight).map { TableText.of($0).table })
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
    let tables = RowType.allCases.filter(\.isOfTheEight).map { TableText.of($0).relation }
    let any = tables.map { "EXISTS (SELECT FROM \($0))" }.joined(separator: " OR ")
    let rows = try session.query(
      Statement(
        "SELECT NOT (\(any)) AND (EXISTS (SELECT FROM ledger.events) "
          + "OR EXISTS (SELECT FROM ledger.confirmed_archived_partitions()))"))
    do { return try rows.bool(0, 0) } catch { throw OpsError(database: error) }
  }
}

extension RepairCount {
  static func + (a: RepairCount, b: RepairCount) -> RepairCount {
    RepairCount(
      inserted: a.inserted + b.inserted, updated: a.updated + b.updated,
      removed: a.removed + b.removed)
  }
}

/// What was made of a slice, for a rebuild to look at before it writes.
private protocol HasFold {
  var fold: Fold { get }
}

extension Fill: HasFold {}

private struct FoldedSlice: HasFold {
  let fold: Fold
  let slice: Slice
}

/// One transaction of a rebuild: under the lock, as the repair role.
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

  /// Folds the streams that differ once more, under the lock, and writes what still differs.
  ///
  /// - Parameter extent: What is taken away meanwhile; nil for nothing.
  func repair(
    _ found: VerifyReport, _ extent: Constraints.Extent?
  ) throws(OpsError) -> RebuildReport {
    try locked { (connection) throws(OpsError) in
      var report = RebuildReport(outcome: .rebuilt, found: found)
      let slice = Slice.streams(Array(found.streams))
      let fold = try slice.fold(
        on: LogReader(self.session.target, on: connection), ReplayProgress())
      guard fold.context.problems.isEmpty else { return self.refuse(&report, fold) }
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

  /// What stands beside the log, where any of it differs.
  private func repairBookkeeping(_ found: VerifyReport, _ connection: Connection) throws(OpsError) {
    guard found.bookkeepingProblems > 0 else { return }
    let reader = try LogReader(session.target, on: connection)
    let counts = try Bookkeeping.repair(reader, roots: found.wrongRoots, on: connection)
    written.merge(counts) { $0 + $1 }
  }

  func repair(
    _ fold: Fold, _ slice: Slice, _ connection: Connection
  ) throws(OpsError) {
    // What the repair role writes is recorded by no event, so it ends with a look that finds nothing: what
    // an operator's trigger or foreign key made of a repair is mended too, or nothing is committed.
    for _ in 0..<3 {
      var comparison = Comparison(fold, slice, on: connection)
      try comparison.run()
      if comparison.streams.isEmpty { return }
      var repair = Repair(comparison, on: connection)
      try repair.run()
      written.merge(repair.counts) { $0 + $1 }
    }
    throw OpsError(
      .conflict, "the tables differ from the log again after each repair",
      hint: "something else writes them, perhaps a trigger of an operator's",
      cause: .tablesChanged)
  }

  private func refuse(_ report: inout RebuildReport, _ fold: Fold) -> RebuildReport {
    for problem in fold.context.problems { report.found.note(problem) }
    report.outcome = .refused
    return report
  }

  // MARK: All rows

  /// Every row, compared and mended slice by slice, without the keys that would be in the way.
  func repairAll(
    _ found: VerifyReport, _ extent: Constraints.Extent
  ) throws(OpsError) -> RebuildReport {
    try all(
      found, extent, make: { (fold, slice) in FoldedSlice(fold: fold, slice: slice) },
      write: { (made, connection) throws(OpsError) in
        try self.repair(made.fold, made.slice, connection)
      })
  }

  /// Empty tables, filled by COPY, which capture's triggers would make write row by row.
  func fill(_ extent: Constraints.Extent) throws(OpsError) -> RebuildReport {
    try all(
      VerifyReport(), extent, make: { (fold, _) throws(OpsError) in try Fill(fold) },
      write: { (fill, connection) throws(OpsError) in
        for filled in fill.tables {
          let count = try filled.write(on: connection)
          self.written[filled.table, default: RepairCount()].inserted += count
        }
        try self.repairOthers(fill.fold, connection)
      })
  }

  private func repairOthers(_ fold: Fold, _ connection: Connection) throws(OpsError) {
    let streams = fold.ledger.slots.map(\.stream) + fold.holds.slots.map(\.stream)
    guard !streams.isEmpty else { return }
    var others = Fold()
    (others.ledger, others.holds) = (fold.ledger, fold.holds)
    try repair(others, .streams(streams), connection)
  }

  private func all<Made: HasFold>(
    _ found: VerifyReport, _ extent: Constraints.Extent, make: @escaping FoldStream<Made>.Make,
    write: (Made, Connection) throws(OpsError) -> Void
  ) throws(OpsError) -> RebuildReport {
    let (rows, events) = try session.estimate()
    progress.expect(events)
    return try locked { (connection) throws(OpsError) in
      var report = RebuildReport(outcome: .rebuilt, found: found)
      var replayed = 0
      let snapshot = try self.snapshot(connection)
      // The others fold ahead while one slice is written, which keeps all cores busy from the second on.
      let stream = FoldStream(
        try LogReader(self.session.target, on: connection).slices(
          Slice.count(rows: rows, countMin: 4)),
        self.session.target, snapshot: snapshot, workers: Slice.workers - 1, self.progress,
        make: make)
      defer { stream.stop() }
      let constraints = try self.dropped(connection, extent)
      while let made = try stream.next() {
        guard made.fold.context.problems.isEmpty else { return self.refuse(&report, made.fold) }
        replayed += made.fold.eventCount
        try write(made, connection)
      }
      let broken = try self.brokenEntries(found, snapshot, connection)
      guard broken.isEmpty else {
        for problem in broken { report.found.note(problem) }
        report.outcome = .refused
        return report
      }
      try self.repairBookkeeping(found, connection)
      report.found.events = replayed
      try self.make(constraints, connection)
      try self.record(&report, connection)
      return report
    }
  }

  /// Entries that lack events. Where a noted root proves the log, the seal counted wrong and is left out.
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

  /// The moment that the readers share.
  private func snapshot(_ connection: Connection) throws(OpsError) -> String {
    try onDatabase { () throws(PostgresError) in
      try connection.query(SharedSnapshot.export).text(0, 0)
    }
  }

  /// The tables without their keys, and what makes them again.
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
      // Indexes are sorted by a process a core, which plans on our connections otherwise never use.
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

  /// Runs `body` with all projections locked against writers, and commits where it rebuilt.
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
        // Keys are taken away under a stronger lock, which a reader holds back for as long as it reads.
        guard error.isLockTimeout else { throw error }
        guard attempt < attemptsMax else {
          throw LockHolders.refusal("the tables' keys could not be taken away", session, all: true)
        }
        session.pause(attempt)
        attempt += 1
      }
    }
  }

  /// EXCLUSIVE lets readers go on and makes writers wait; SHARE ROW EXCLUSIVE would deadlock with an
  /// engine that locked rows and is about to write them.
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

  /// Records the rebuild itself, in the same transaction.
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

  /// Of content nothing is recorded but that it differed: a hash would tell whoever guesses right what an erasure took.
  private func summary(_ report: RebuildReport) -> JSON {
    let tables = written.mapValues { count in
      JSON.object([
        "inserted": .int(count.inserted), "updated": .int(count.updated),
        "removed": .int(count.removed),
      ])
    }
    let listed = report.found.differences.prefix(200).map { difference in
      var listed: [String: JSON] = [
        "table": .string(difference.table), "row": .string(difference.row),
        "column": .string(difference.column),
      ]
      if difference.column == "*" || Parts.isStructure(difference.table, difference.column) {
        listed["expected"] = .optional(difference.expected)
        listed["found"] = .optional(difference.found)
      }
      return JSON.object(listed)
    }
    return .object([
      "events": .int(report.found.events), "tables": .object(tables),
      "differences": .int(report.found.differenceCount), "listed": .array(Array(listed)),
      "dropped_constraints": .array(
        report.droppedConstraints.filter { $0.kind != .trigger }.map(\.json)),
    ])
  }
}

/// Which columns of which table are structure.
private enum Parts {
  static func isStructure(_ table: String, _ column: String) -> Bool {
    guard let rowType = RowType.allCases.first(where: { TableText.of($0).table == table }) else {
      return false
    }
    return rowType == .ledger || isStructure(column, of: rowType.type)
  }

  private static func isStructure<R: Row>(_ column: String, of rowType: R.Type) -> Bool {
    R.column(named: column)?.part == .data
  }
}
