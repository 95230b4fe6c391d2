import Crypto
import JSON
public import Ledger
public import Log
import Postgres
public import Replay

public struct RestoreReport: Sendable {
  public enum Outcome: Equatable, Sendable {
    /// The database had every stored entry, its instance mark was current, and its tables equal the log.
    case nothingToDo
    /// The database had every stored entry, and got a new instance mark.
    case moved
    case restored
  }

  public var outcome: Outcome
  /// The last entry that a store or the database has, and the root there.
  public var lastEntry: Int64
  public var root: String
  /// The events and segments that were put back.
  public var events = 0
  public var segments = 0
  /// Whether the database has entries that the store lacks.
  public var isAhead = false
  /// The entries that no store and not the database had.
  public var lost: ClosedRange<Int64>?
  /// Faults of the stores that did not matter: another store had the file, or nothing needed it.
  public var quarantined: [String] = []
  /// The rows that were written, by table.
  public var written: [String: RepairCount] = [:]
  /// The entry that records the restore.
  public var entry: Int64?
  /// The constraints that rows of the log violate, and that were dropped.
  public var droppedConstraints: [DroppedConstraints] = []
}

/// Puts back every stored entry that a database lacks, and makes its tables from the log.
///
/// If a restore is interrupted, the same command continues it. The database records nothing else before its end.
public struct Restorer {
  private let target: Session.Target
  private let session: Session
  private let files: [any ObjectStore]
  private let actor: String
  private let why: String?
  private let allowsLoss: Bool
  private let progress: ReplayProgress

  /// - Parameters:
  ///   - files: The stores, at least one. They are copies of one history: if a file is missing or damaged in one, another
  ///     gives it.
  ///   - allowsLoss: Whether the database may continue without entries that no store has. `why` is recorded then.
  public init(
    _ target: Session.Target, _ files: [any ObjectStore], actor: String, why: String? = nil,
    allowsLoss: Bool = false, _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) {
    precondition(!files.isEmpty, "a restore needs a store")
    self.target = target
    self.files = files
    self.actor = actor
    self.why = why
    self.allowsLoss = allowsLoss
    self.progress = progress
    session = try Session(target)
  }

  /// - Throws: `OPS_015` if the database belongs to another ledger, if it and the stores diverged, or if no store has an
  ///   entry. Nothing was changed then.
  public func run() throws(OpsError) -> RestoreReport {
    var report = RestoreReport(outcome: .nothingToDo, lastEntry: 0, root: "")
    var (stores, quarantined) = try open()
    if stores.allSatisfy({ $0.isEmpty }) { try requireBegun(stores[0]) }
    _ = try Installer.apply(session)
    try keepOwn(&stores, &quarantined)
    // A push may merge segments meanwhile. Segments that were put back stay.
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

  /// The stores that can be opened.
  private func open() throws(OpsError) -> ([Store], quarantined: [String]) {
    try usable(files) { (files) throws(OpsError) in try Store.existing(files) }
  }

  /// Opens each, and leaves out what cannot be opened.
  ///
  /// - Throws: If none can be opened.
  private func usable<Place, Opened>(
    _ places: [Place], _ open: (Place) throws(OpsError) -> Opened
  ) throws(OpsError) -> ([Opened], quarantined: [String]) {
    var (opened, failures): ([Opened], [OpsError]) = ([], [])
    for place in places {
      do throws(OpsError) { opened.append(try open(place)) } catch { failures.append(error) }
    }
    guard !opened.isEmpty else { throw failures[0] }
    return (opened, failures.map(\.message))
  }

  /// An empty store has no ledger for an empty database: its first push was interrupted.
  private func requireBegun(_ store: Store) throws(OpsError) {
    do throws(OpsError) { try session.requireLedger() } catch {
      guard error.code == .schemaMismatch else { throw error }
      throw OpsError(
        .notFound, "\(store.files.place) has no entries, so there is nothing to restore",
        hint: "its first push was interrupted: name another store")
    }
  }

  /// Leaves out stores of other ledgers. An empty database can become any ledger: all its stores must belong to one.
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
    // A database from before a fork has the parent's identity.
    let ours = stores.filter { [$0.record.identity, $0.record.parent?.identity].contains(own) }
    let others = stores.filter { ![$0.record.identity, $0.record.parent?.identity].contains(own) }
      .map { store in
        OpsError(
          store: .anotherLedger,
          "\(store.files.place) is the store of \(store.record.title) (\(store.record.identity)), and the "
            + "database belongs to another ledger (\(own))",
          hint: "restore into an empty database, or name this ledger's store")
      }
    if ours.isEmpty, let first = others.first { throw first }
    stores = ours
    quarantined += others.map(\.message)
  }

  // MARK: The log

  /// Restores the log, not the tables.
  private func restore(
    _ stores: [Store], _ report: inout RestoreReport
  ) throws(OpsError) -> Survey {
    let (sources, unlisted) = try usable(stores) { (store) throws(OpsError) in
      Survey.Source(store: store, list: try store.foundSegments())
    }
    let survey = try Survey(session, sources).run()
    if let entry = survey.divergence { throw diverged(entry, survey.others, stores[0]) }
    let instanceState = try session.instanceState()
    report.quarantined = unlisted + survey.quarantined
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
      // Nobody else may record before the end: the rebuild would write the same rows again.
      try session.markStale()
      for part in survey.missing {
        do throws(OpsError) { try put(part, &report) } catch {
          // The log is unchanged: the database may record again.
          if instanceState == .here, report.events == 0, error.code != .databaseUnreachable {
            try session.adoptInstance(above: 0)
          }
          throw error.of(part)
        }
      }
      try session.recountSeals(acceptingLoss: report.lost != nil)
      // An old copy of a store may hold content that was erased since.
      if report.outcome == .restored { try session.eraseAgain() }
      try session.skipNumbers(
        above: try EntryNumber.jumped(
          over: max(try session.highestEntries().known, survey.proven), claimed: survey.claimed))
    } else {
      _ = try session.setNumbersRight(by: actor)
    }
    return survey
  }

  /// The entries that the database gives up: it may have some of the lost ones itself.
  private func lost(_ loss: StoreLoss) throws(OpsError) -> ClosedRange<Int64>? {
    guard allowsLoss else { throw loss.refusal }
    let recorded = try session.highestEntries().recorded
    guard max(loss.whole, recorded) > 0 else {
      throw OpsError(
        store: .damaged, "\(loss.cause.message): no entry of the store can be restored",
        hint: "put the file back from another copy of the store")
    }
    let first = max(loss.whole, recorded) + 1
    return first <= loss.last ? first...loss.last : nil
  }

  private func diverged(_ entry: Int64, _ others: [Int64], _ store: Store) -> OpsError {
    var what =
      "the database and \(store.files.place) diverged, or one of them was changed: they differ "
      + "first at entry \(entry)"
    if !others.isEmpty {
      what += "; entries that differ: \(others.map(String.init).joined(separator: ", "))"
      if others.count == Survey.othersMax { what += ", …" }
    }
    return OpsError(
      store: .diverged, what,
      hint:
        "they cannot be merged: `opsledger archive fork` continues this database in a new store; "
        + "`opsledger restore --to` restores the store into another database",
      facts: ["entry": String(entry)])
  }

  /// Puts back the missing events of one segment.
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
      // Another session reads the log while this one writes it.
      events = try part.send(to: writer, and: other, reading: try Session(target))
      // The other transaction commits first. If the restore is interrupted between the two commits, some events of the
      // segment are missing, and the next restore makes the bookkeeping tables for all of them.
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
      // The survey has compared these entries with the store.
      proven: report.lastEntry, progress)
    report.droppedConstraints = rebuilt.droppedConstraints
    if report.outcome != .nothingToDo { try session.adoptInstance(above: 0) }
    switch rebuilt.outcome {
    case .rebuilt:
      report.outcome = .restored
      report.written = rebuilt.written
      report.entry = rebuilt.entry
    case .equal, .wouldWrite:
      guard report.outcome != .nothingToDo else { return }
      let text = JSON.object(facts).text
      report.entry = try session.record(
        report.outcome == .moved
          ? .moved(report: text, why: why) : .restored(report: text, why: why),
        by: actor)
    case .refused:
      throw OpsError(
        store: .damaged,
        "every entry of the store is back, but the log is broken in \(rebuilt.found.logProblems) "
          + "places after entry \(report.lastEntry), and the tables were not rebuilt",
        hint:
          "`opsledger verify` names the places; `opsledger restore --to` restores the store into another "
          + "database")
    }
  }
}

extension OpsError {
  /// The same error, with the name of the file.
  fileprivate func of(_ part: Survey.Missing) -> OpsError {
    let file = "\(part.segment.name.path) of \(part.store.files.place)"
    if store?.file == part.segment.name.path || code == .databaseUnreachable { return self }
    // The database's hint is about rows of its own.
    let hint = database == nil ? hint : nil
    return saying(
      "\(file) cannot be put back: \(message)",
      hint: hint
        ?? "put the file back from another copy of the store, or remove it if it does not belong there; then "
        + "restore again"
    )
  }
}

extension Store {
  /// Whether nothing was ever pushed; false if the store cannot be listed.
  fileprivate var isEmpty: Bool {
    guard let segments = try? foundSegments(), let snapshots = try? snapshots() else {
      return false
    }
    return segments.lastEntry == 0 && snapshots.snapshots.isEmpty
  }
}
