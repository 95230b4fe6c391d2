import Crypto
import JSON
public import Ledger
public import Log
import Postgres

/// What a restore did.
public struct RestoreReport: Sendable {
  public enum Outcome: Equatable, Sendable {
    /// The database had every entry that the store has, lives here, and its tables equal the log.
    case nothingToDo
    /// It had every entry, but lived elsewhere.
    case moved
    case restored
  }

  public var outcome: Outcome
  /// The last entry that could be had, all that the store covers unless entries were lost, and the root there.
  public var tip: Int64
  public var root: String
  /// Put back now.
  public var events = 0
  public var segments = 0
  /// Entries that the database has and the store has not yet.
  public var isAhead = false
  /// What neither the store gave nor the database had.
  public var lost: ClosedRange<Int64>?
  /// Rows that the tables were given, by table.
  public var written: [String: RepairCount] = [:]
  /// The entry that records it.
  public var entry: Int64?
}

/// Brings a database to have every entry that a store has, whatever was missing.
///
/// Begun again after it was cut short, it goes on: until its end nothing else is recorded in the database.
public struct Restorer {
  private let target: Session.Target
  private let session: Session
  private let store: Store
  private let actor: String
  private let why: String?
  private let allowsLoss: Bool
  private let progress: ReplayProgress

  /// - Parameter allowsLoss: Whether the database may go on without entries that the store cannot give any more;
  ///   history wants to know why.
  public init(
    _ target: Session.Target, _ store: Store, actor: String, why: String? = nil,
    allowsLoss: Bool = false,
    _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) {
    self.target = target
    self.store = store
    self.actor = actor
    self.why = why
    self.allowsLoss = allowsLoss
    self.progress = progress
    session = try Session(target)
  }

  /// - Throws: `OPS_015` where the database is another ledger's, where both have entries that the other lacks, or
  ///   where the store is damaged; nothing was changed then.
  public func run() throws(OpsError) -> RestoreReport {
    let list = try store.foundSegments()
    if list.tip == 0, try store.snapshots().snapshots.isEmpty { try requireBegun() }
    _ = try Installer.lay(session)
    try requireSameLedger()
    let survey = try Survey(session, store, list).run()
    if let entry = survey.divergence { throw diverged(entry) }
    var report = RestoreReport(
      outcome: .nothingToDo, tip: survey.tip, root: survey.root.hex, isAhead: survey.isAhead)
    if let loss = survey.loss { report.lost = try lost(loss) }
    let home = try session.home()
    if !survey.missing.isEmpty || report.lost != nil {
      report.outcome = .restored
    } else if home != .here {
      report.outcome = .moved
    }
    if report.outcome != .nothingToDo {
      // Nobody else records anything before its end: rows of tables that are not made yet would be made twice.
      try session.markBehind()
      for part in survey.missing { try put(part, &report) }
      // An old copy of a store, and an old database, hold what was erased since.
      if report.outcome == .restored { try session.eraseAgain() }
      let highest = max(try session.highestEntries().drawn, list.tip)
      try session.skipNumbers(above: highest + Home.jump)
    }
    try rebuild(&report)
    if survey.tip > 0, try session.seal() >= survey.tip {
      try session.record(
        StoredRoot(entry: survey.tip, frontier: survey.tree, root: survey.root))
    }
    return report
  }

  /// What is lost for good where the database goes on without it: it may have some itself.
  private func lost(_ loss: StoreLoss) throws(OpsError) -> ClosedRange<Int64>? {
    guard allowsLoss else { throw loss.refusal }
    let recorded = try session.highestEntries().recorded
    guard max(loss.whole, recorded) > 0 else {
      throw OpsError(
        .storeDiverged, "\(loss.cause.message): nothing of the store can be had",
        hint: "put the file back from another copy of the store")
    }
    let first = max(loss.whole, recorded) + 1
    return first <= loss.last ? first...loss.last : nil
  }

  private func diverged(_ entry: Int64) -> OpsError {
    OpsError(
      .storeDiverged,
      "the database and \(store.files.place) went on apart: they differ first at entry \(entry)",
      hint:
        "nothing can be merged: `opsledger archive fork` lets this database go on in a new store",
      facts: ["entry": String(entry)])
  }

  /// A store whose first push was cut short makes no ledger of an empty database.
  private func requireBegun() throws(OpsError) {
    do throws(OpsError) { try session.requireLedger() } catch {
      guard error.code == .schemaMismatch else { throw error }
      throw OpsError(
        .notFound, "\(store.files.place) holds no entry yet: there is nothing to restore",
        hint: "its first push was cut short; is there another store?")
    }
  }

  private func requireSameLedger() throws(OpsError) {
    guard let own = try session.ledgerIdentity(), own != store.record.identity,
      // A database from before the fork.
      own != store.record.parent?.identity
    else { return }
    throw OpsError(
      .storeDiverged,
      "the database is another ledger's (\(own)) than \(store.files.place) "
        + "(\(store.record.title), \(store.record.identity))",
      hint: "restore into an empty database, or name this ledger's store")
  }

  /// Puts the events of one segment back, or those of them that are missing.
  private func put(_ part: Survey.Missing, _ report: inout RestoreReport) throws(OpsError) {
    let reader = try store.reader(of: part.segment)
    try session.havePartitions(
      of: reader.index.frames.flatMap { [$0.entries.lowerBound, $0.entries.upperBound] })
    var events = 0
    try session.restoring(part.entries) { (connection) throws(OpsError) in
      let writer = try onDatabase { () throws(PostgresError) in
        try connection.copyIn("COPY ledger.events FROM STDIN")
      }
      if part.isWhole {
        let other = reader.index.frames.count > 1 ? CopyHand(target) : nil
        try reader.verify { (frame) throws(OpsError) in
          if let other, frame.number % 2 == 1 { return try other.send(frame.text) }
          try writer.send(frame.text)
        }
        // What it put there is committed first: cut short between the two, the segment is one of which some
        // events are missing, and what is made of all of them is made again.
        try other?.finish()
        events = Int(clamping: reader.index.eventCount)
      } else {
        // Another session reads what this one adds to.
        try store.compare(part.segment, part.entries, try Session(target)) {
          (difference) throws(OpsError) in
          guard case .missing(let line, _) = difference else { return }
          try onDatabase { () throws(PostgresError) in try writer.raw(line) }
          events += 1
        }
      }
      _ = try onDatabase { () throws(PostgresError) in try writer.finish() }
    }
    report.events += events
    report.segments += 1
  }

  private func rebuild(_ report: inout RestoreReport) throws(OpsError) {
    var facts: [String: JSON] = [
      "store": .string(store.files.place), "tip": .int(report.tip), "root": .string(report.root),
      "events": .int(report.events),
    ]
    if let lost = report.lost {
      facts["lost"] = .object(["first": .int(lost.lowerBound), "last": .int(lost.upperBound)])
    }
    let rebuilt = try Rebuilder.run(
      target, actor: actor, checkOnly: false, recording: .restored(facts, why: why), progress)
    switch rebuilt.outcome {
    case .rebuilt:
      if report.outcome != .nothingToDo { try session.settleHome(above: 0) }
      report.outcome = .restored
      report.written = rebuilt.written
      report.entry = rebuilt.entry
    case .equal, .wouldWrite:
      guard report.outcome != .nothingToDo else { return }
      try session.settleHome(above: 0)
      let text = JSON.object(facts).text
      report.entry = try session.record(
        report.outcome == .moved
          ? .moved(report: text, why: why) : .restored(report: text, why: why),
        by: actor)
    case .refused:
      if report.outcome != .nothingToDo { try session.settleHome(above: 0) }
      throw OpsError(
        .storeDiverged,
        "every entry is back, but the log itself is broken in \(rebuilt.found.logProblems) places",
        hint: "see `opsledger verify`")
    }
  }
}
