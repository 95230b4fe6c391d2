import Crypto
import JSON
public import Ledger
public import Log
import Postgres
public import Replay

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
  public var lastEntry: Int64
  public var root: String
  /// Put back now.
  public var events = 0
  public var segments = 0
  /// Entries that the database has and the store has not yet.
  public var isAhead = false
  /// What neither the store gave nor the database had.
  public var lost: ClosedRange<Int64>?
  /// What is wrong with the stores, and did not matter: another had it, or nothing needed it.
  public var quarantined: [String] = []
  /// Rows that the tables were given, by table.
  public var written: [String: RepairCount] = [:]
  /// The entry that records it.
  public var entry: Int64?
  /// What rows of the log break on the tables.
  public var droppedConstraints: [DroppedConstraints] = []
}

/// Brings a database to have every entry that its stores have, whatever was missing.
///
/// Begun again after it was cut short, it goes on: until its end nothing else is recorded in the database.
public struct Restorer {
  private let target: Session.Target
  private let session: Session
  private let files: [any ObjectStore]
  private let actor: String
  private let why: String?
  private let allowsLoss: Bool
  private let progress: ReplayProgress

  /// - Parameters:
  ///   - files: Where the stores lie, at least one. They are copies of one history: what is missing or damaged in
  ///     one is taken from another.
  ///   - allowsLoss: Whether the database may go on without entries that no store can give any more; history wants to
  ///     know why.
  public init(
    _ target: Session.Target, _ files: [any ObjectStore], actor: String, why: String? = nil,
    allowsLoss: Bool = false, _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) {
    precondition(!files.isEmpty, "a restore wants a store")
    self.target = target
    self.files = files
    self.actor = actor
    self.why = why
    self.allowsLoss = allowsLoss
    self.progress = progress
    session = try Session(target)
  }

  /// From one store.
  public init(
    _ target: Session.Target, _ store: Store, actor: String, why: String? = nil,
    allowsLoss: Bool = false, _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) {
    try self.init(
      target, [store.files], actor: actor, why: why, allowsLoss: allowsLoss, progress)
  }

  /// - Throws: `OPS_015` where the database is another ledger's, where both have entries that the other lacks, or where no
  ///   store can give an entry; nothing was changed then.
  public func run() throws(OpsError) -> RestoreReport {
    var report = RestoreReport(outcome: .nothingToDo, lastEntry: 0, root: "")
    var (stores, quarantined) = try open()
    if stores.allSatisfy({ $0.isEmpty }) { try requireBegun(stores[0]) }
    _ = try Installer.apply(session)
    try keepOwn(&stores, &quarantined)
    // A push may merge segments meanwhile; what was put back by then stays.
    let own = stores
    let survey = try readingWhole(files) { () throws(OpsError) -> (Survey, isFine: Bool) in
      let survey = try restore(own, &report)
      return (survey, isFine: true)
    }
    report.quarantined = quarantined + report.quarantined
    try rebuild(stores[0], &report)
    if report.outcome == .restored { try session.forgetStatistics() }
    if survey.lastEntry > 0, try session.seal() >= survey.lastEntry {
      try session.record(
        StoredRoot(entry: survey.lastEntry, frontier: survey.tree, root: survey.root))
    }
    return report
  }

  // MARK: The stores

  /// Those that can be opened.
  private func open() throws(OpsError) -> (stores: [Store], quarantined: [String]) {
    var (stores, failures): ([Store], [OpsError]) = ([], [])
    for files in files {
      do throws(OpsError) { stores.append(try Store.existing(files)) } catch {
        failures.append(error)
      }
    }
    guard !stores.isEmpty else { throw failures[0] }
    return (stores, failures.map(\.message))
  }

  /// A store whose first push was cut short makes no ledger of an empty database.
  private func requireBegun(_ store: Store) throws(OpsError) {
    do throws(OpsError) { try session.requireLedger() } catch {
      guard error.code == .schemaMismatch else { throw error }
      throw OpsError(
        .notFound, "\(store.files.place) holds no entry yet: there is nothing to restore",
        hint: "its first push was cut short; is there another store?")
    }
  }

  /// Leaves other ledgers' stores out. An empty database can become any ledger, so that its stores must be of one.
  private func keepOwn(_ stores: inout [Store], _ quarantined: inout [String]) throws(OpsError) {
    guard let own = try session.ledgerIdentity() else {
      for store in stores where store.record.identity != stores[0].record.identity {
        throw OpsError(
          store: .anotherLedger,
          "\(stores[0].files.place) is the store of \(stores[0].record.title) "
            + "(\(stores[0].record.identity)), \(store.files.place) of \(store.record.title) "
            + "(\(store.record.identity))", hint: "name the stores of one ledger")
      }
      return
    }
    // The parent's identity: a database from before the fork.
    let ours = stores.filter { [$0.record.identity, $0.record.parent?.identity].contains(own) }
    let others = stores.filter { ![$0.record.identity, $0.record.parent?.identity].contains(own) }
      .map { store in
        OpsError(
          store: .anotherLedger,
          "the database is another ledger's (\(own)) than \(store.files.place) "
            + "(\(store.record.title), \(store.record.identity))",
          hint: "restore into an empty database, or name this ledger's store")
      }
    if ours.isEmpty, let first = others.first { throw first }
    stores = ours
    quarantined += others.map(\.message)
  }

  /// A store that cannot be listed is passed over where there is another.
  private func sources(
    _ stores: [Store], _ report: inout RestoreReport
  ) throws(OpsError) -> [Survey.Source] {
    var (sources, failures): ([Survey.Source], [OpsError]) = ([], [])
    for store in stores {
      do throws(OpsError) {
        sources.append(Survey.Source(store, try store.foundSegments()))
      } catch { failures.append(error) }
    }
    guard !sources.isEmpty else { throw failures[0] }
    report.quarantined += failures.map(\.message)
    return sources
  }

  // MARK: The log

  /// Everything up to the tables.
  private func restore(
    _ stores: [Store], _ report: inout RestoreReport
  ) throws(OpsError) -> Survey {
    report.quarantined = []
    let survey = try Survey(session, try sources(stores, &report)).run()
    if let entry = survey.divergence { throw diverged(entry, survey.others, stores[0]) }
    let instanceState = try session.instanceState()
    report.quarantined += survey.quarantined
    (report.lastEntry, report.root, report.isAhead) = (
      survey.lastEntry, survey.root.hex, survey.isAhead
    )
    report.lost = nil
    if let loss = survey.loss { report.lost = try lost(loss) }
    if !survey.missing.isEmpty || report.lost != nil || report.events > 0 {
      report.outcome = .restored
    } else if instanceState != .here {
      report.outcome = .moved
    }
    if report.outcome != .nothingToDo {
      // Nobody else records anything before its end: rows of tables that are not made yet would be made twice.
      try session.markStale()
      for part in survey.missing {
        do throws(OpsError) { try put(part, &report) } catch {
          // The log is as it was: it may go on.
          if instanceState == .here, report.events == 0, error.code != .databaseUnreachable {
            try session.adoptInstance(above: 0)
          }
          throw error.of(part)
        }
      }
      try session.recountSeals(acceptingLoss: report.lost != nil)
      // An old copy of a store, and an old database, hold what was erased since.
      if report.outcome == .restored { try session.eraseAgain() }
      try session.skipNumbers(
        above: try EntryNumber.jumped(
          over: max(try session.highestEntries().known, survey.proven), claimed: survey.claimed))
    } else {
      _ = try session.setNumbersRight(by: actor)
    }
    return survey
  }

  /// What is lost for good where the database goes on without it: it may have some itself.
  private func lost(_ loss: StoreLoss) throws(OpsError) -> ClosedRange<Int64>? {
    guard allowsLoss else { throw loss.refusal }
    let recorded = try session.highestEntries().recorded
    guard max(loss.whole, recorded) > 0 else {
      throw OpsError(
        store: .damaged, "\(loss.cause.message): nothing of the store can be had",
        hint: "put the file back from another copy of the store")
    }
    let first = max(loss.whole, recorded) + 1
    return first <= loss.last ? first...loss.last : nil
  }

  private func diverged(_ entry: Int64, _ others: [Int64], _ store: Store) -> OpsError {
    var what =
      "the database and \(store.files.place) went on apart, or one of them was changed: they differ "
      + "first at entry \(entry)"
    if !others.isEmpty {
      what += "; not alike: \(others.map(String.init).joined(separator: ", "))"
      if others.count == Survey.othersMax { what += ", …" }
    }
    return OpsError(
      store: .diverged, what,
      hint:
        "nothing can be merged: `opsledger archive fork` lets this database go on in a new store; "
        + "`opsledger restore --to` makes another database of the store",
      facts: ["entry": String(entry)])
  }

  /// Puts the events of one segment back, or those of them that are missing.
  private func put(_ part: Survey.Missing, _ report: inout RestoreReport) throws(OpsError) {
    let reader = try part.store.reader(of: part.segment)
    try session.havePartitions(
      of: reader.index.frames.flatMap { [$0.entries.lowerBound, $0.entries.upperBound] })
    var events = 0
    try session.restoring(part.entries) { (connection) throws(OpsError) in
      let writer = try onDatabase { () throws(PostgresError) in
        try connection.copyIn("COPY ledger.events FROM STDIN")
      }
      let other = part.isWhole && reader.index.frames.count > 1 ? SegmentLoader(target) : nil
      // Another session reads what this one adds to.
      events = try part.send(to: writer, and: other, reading: try Session(target))
      // What it put there is committed first: cut short between the two, the segment is one of which some
      // events are missing, and what is made of all of them is made again.
      try other?.finish()
      _ = try onDatabase { () throws(PostgresError) in try writer.finish() }
    }
    report.events += events
    report.segments += 1
  }

  private func rebuild(_ store: Store, _ report: inout RestoreReport) throws(OpsError) {
    var facts: [String: JSON] = [
      "store": .string(store.files.place), "last_entry": .int(report.lastEntry),
      "root": .string(report.root),
      "events": .int(report.events),
    ]
    if let lost = report.lost {
      facts["lost"] = .object(["first": .int(lost.lowerBound), "last": .int(lost.upperBound)])
    }
    let rebuilt = try Rebuilder.run(
      target, actor: actor, checkOnly: false, recording: .restored(facts, why: why),
      // The survey has compared them, segment by segment.
      proven: report.lastEntry, progress)
    report.droppedConstraints = rebuilt.droppedConstraints
    switch rebuilt.outcome {
    case .rebuilt:
      if report.outcome != .nothingToDo { try session.adoptInstance(above: 0) }
      report.outcome = .restored
      report.written = rebuilt.written
      report.entry = rebuilt.entry
    case .equal, .wouldWrite:
      guard report.outcome != .nothingToDo else { return }
      try session.adoptInstance(above: 0)
      let text = JSON.object(facts).text
      report.entry = try session.record(
        report.outcome == .moved
          ? .moved(report: text, why: why) : .restored(report: text, why: why),
        by: actor)
    case .refused:
      if report.outcome != .nothingToDo { try session.adoptInstance(above: 0) }
      throw OpsError(
        store: .damaged,
        "every entry of the store is back, but the log itself is broken in "
          + "\(rebuilt.found.logProblems) places beyond it",
        hint:
          "`opsledger verify` names them; `opsledger restore --to` makes another database, of the "
          + "store alone")
    }
  }
}

extension OpsError {
  /// The same, with the file that it is about.
  fileprivate func of(_ part: Survey.Missing) -> OpsError {
    let file = "\(part.segment.name.path) of \(part.store.files.place)"
    if store?.file == part.segment.name.path || code == .databaseUnreachable { return self }
    // What the database says of a row is no help where the row is not its own.
    let hint = database == nil ? hint : nil
    return saying(
      "\(file) cannot be put back: \(message)",
      hint: hint
        ?? "put the file back from another copy of the store, or remove it if it does not belong there; then restore again"
    )
  }
}

extension Store {
  /// Nothing was ever pushed; false where it cannot be listed.
  fileprivate var isEmpty: Bool {
    guard let segments = try? foundSegments(), let snapshots = try? snapshots() else {
      return false
    }
    return segments.lastEntry == 0 && snapshots.snapshots.isEmpty
  }
}
