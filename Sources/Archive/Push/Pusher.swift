import Crypto
import JSON
public import Ledger
public import Log
import Postgres
public import Replay

/// What a push did.
public struct PushReport: Equatable, Sendable {
  public var store: String
  /// The last entry that the store covers now.
  public var lastEntry: Int64
  /// Whether there was no store before.
  public var isBegun = false
  /// Written now.
  public var events = 0
  public var segments: [SegmentName] = []
  /// Made of the small ones of a log partition.
  public var merged: [SegmentName] = []
  /// Written of the log partitions that are stored to their end.
  public var tiles = 0
  /// Written again without what was erased.
  public var erased: [SegmentName] = []
  public var erasedSnapshots: [SnapshotName] = []
}

/// Copies newly sealed entries into a store.
///
/// A segment is whole and read back before it has its name, and has its name before the database notes its root: cut
/// short anywhere, the next push goes on. Of two at once the second waits, and finds nothing left.
public struct Pusher {
  private let session: Session
  private let files: any ObjectStore
  private let progress: ReplayProgress

  public init(
    _ session: Session, _ files: any ObjectStore, _ progress: ReplayProgress = ReplayProgress()
  ) {
    self.session = session
    self.files = files
    self.progress = progress
  }

  /// - Parameters:
  ///   - mayBegin: Whether a store is begun where there is none; one that was there and is gone is out of reach.
  ///   - waitSeconds: How long another push is waited for; nil: until it ends.
  ///   - runner: Of whoever has the task already.
  /// - Throws: `OPS_015` where the store is another ledger's, or holds what this database lacks; this database is
  ///   then stopped until `restore` has settled it.
  public func run(
    mayBegin: Bool = true, waitSeconds: Double? = nil, taskLease given: TaskLease? = nil
  ) throws(OpsError) -> PushReport {
    if let given { return try run(mayBegin, given) }
    let taskLease = try TaskLease.take(.push, session, waitSeconds: waitSeconds)
    defer { taskLease.end(session) }
    taskLease.keep(session.target)
    return try run(mayBegin, taskLease)
  }

  private func run(_ mayBegin: Bool, _ taskLease: TaskLease) throws(OpsError) -> PushReport {
    let (store, isBegun) = try open(mayBegin)
    let list = try store.segments()
    try requireArchived(upTo: list.lastEntry)
    try requireNotLost(from: store)
    if try session.instanceState() == .elsewhere(onlyTimeline: true) { try settle(store, list) }
    let sealed = try session.seal()
    var tree = try LastEntryComparison(session, store, list, sealed: sealed).run()
    try Recheck(session: session, store: store, list: list, tree: tree).run()
    var report = PushReport(store: files.place, lastEntry: list.lastEntry, isBegun: isBegun)
    while report.lastEntry < sealed,
      let next = try entriesOfNext(after: report.lastEntry, upTo: sealed)
    {
      try taskLease.renew(session)
      try write(next, store, &tree, &report)
    }
    // What follows removes files.
    try taskLease.renew(session)
    try removeSuperseded(list, store, upTo: report.lastEntry)
    try erase(from: store, &report)
    try taskLease.require()
    report.merged = try store.mergePartitions(store.segments())
    try taskLease.require()
    report.tiles = try store.writeTiles(store.segments().wholePartitions)
    return report
  }

  /// What has left the database cannot be pushed into another store.
  private func requireArchived(upTo lastEntry: Int64) throws(OpsError) {
    let archivedPart = try session.lastArchived()
    guard lastEntry < archivedPart else { return }
    throw OpsError(
      store: .diverged,
      "entries up to \(archivedPart) have left the database, and \(files.place) "
        + (lastEntry == 0 ? "has none" : "ends at \(lastEntry)"),
      hint: "begin a further store as a copy of one that has them")
  }

  /// A store whose newest segments were lost has snapshots of them still.
  private func requireNotLost(from store: Store) throws(OpsError) {
    guard let lost = try session.lostEntries(),
      try store.snapshots().snapshots.contains(where: { lost.contains($0.name.entry) })
    else { return }
    throw .lost(lost, from: files.place)
  }

  /// Removes what a merge or an erasure that was cut short left, once the file that replaces it is read whole and goes on
  /// from its neighbours; unless it has content that the other file lacks and nobody erased: roots are alike with
  /// content and without.
  private func removeSuperseded(
    _ list: SegmentList, _ store: Store, upTo lastEntry: Int64
  ) throws(OpsError) {
    if list.superseded.isEmpty { return }
    let erasures = try session.erasures(upTo: lastEntry)
    for (number, segment) in list.segments.enumerated() {
      guard
        let replaced = list.superseded.first(where: { $0.entries.overlaps(segment.name.entries) })
      else { continue }
      try prove(number, of: list, store)
      try store.reader(of: segment).lines(of: segment.name.entries) {
        (_, event) throws(OpsError) in
        guard erasures.leaveUnexplained(event) else { return }
        throw OpsError(
          store: .damaged,
          "\(segment.name.path) of \(files.place) lacks content of entry \(event.entry) that nobody "
            + "erased, and \(replaced.path) has it",
          hint: "remove \(segment.name.path): this ledger did not write it", at: files.place,
          file: segment.name.path)
      }
    }
    for name in list.superseded { try files.remove(name.path) }
  }

  /// Every event of a segment, against its roots, and these against what is before and after it: the tip is the database's.
  private func prove(_ number: Int, of list: SegmentList, _ store: Store) throws(OpsError) {
    let segment = list.segments[number]
    let reader = try store.reader(of: segment)
    try reader.verify()
    if number > 0 {
      let before = try store.reader(of: list.segments[number - 1]).index
      guard before.after == reader.index.before else { throw apart(before.name, segment.name) }
    }
    if number + 1 < list.segments.count {
      let after = try store.reader(of: list.segments[number + 1]).index
      guard reader.index.after == after.before else { throw apart(segment.name, after.name) }
    }
  }

  private func apart(_ first: SegmentName, _ second: SegmentName) -> OpsError {
    OpsError(
      store: .diverged, "\(second.path) of \(files.place) does not go on from \(first.path)",
      hint: "see `opsledger archive verify`; remove the one that this ledger did not write",
      at: files.place, file: second.path)
  }

  /// Applies every erasure that the store has the event of.
  private func erase(from store: Store, _ report: inout PushReport) throws(OpsError) {
    let erasures = try session.erasures(upTo: report.lastEntry)
    if erasures.entries.isEmpty { return }
    report.erased = try store.erase(erasures, from: store.segments())
    report.erasedSnapshots = try store.erase(erasures, from: store.snapshots(), session.target)
  }

  /// After a failover: where the promoted server holds what was stored, the ledger lives there from now on.
  private func settle(_ store: Store, _ list: SegmentList) throws(OpsError) {
    _ = try LastEntryComparison(session, store, list, sealed: try session.sealed()).run()
    try session.adoptInstance(
      above: try EntryNumber.jumped(
        over: try session.highestEntries().known, claimed: list.lastEntry))
    let facts: [String: JSON] = [
      "store": .string(files.place), "last_entry": .int(list.lastEntry),
      "because": .string("another timeline"),
    ]
    _ = try session.record(.moved(report: JSON.object(facts).text), by: "push")
  }

  private func open(_ mayBegin: Bool) throws(OpsError) -> (Store, isBegun: Bool) {
    let own = try session.ledgerRecord()
    if let known = try Store.open(files) { return (try checked(known, own), false) }
    guard mayBegin else {
      throw OpsError(
        .databaseUnreachable, "there is no store at \(files.place), and this ledger has one",
        hint: "is it mounted? A new one is begun by hand: `opsledger archive push`",
        cause: .store(StoreFault(.unavailable, at: files.place)))
    }
    // Before it is begun: an empty store would be in the way of a copy, and of a fork.
    try requireArchived(upTo: 0)
    let store = try Store.begin(files, StoreRecord(identity: own.identity, title: own.title))
    return (try checked(store, own), true)
  }

  private func checked(_ store: Store, _ own: LedgerRecord) throws(OpsError) -> Store {
    guard store.record.identity == own.identity else {
      throw OpsError(
        store: .anotherLedger,
        "\(files.place) is the store of \(store.record.title) (\(store.record.identity)), "
          + "not of \(own.title) (\(own.identity))",
        hint: "name another place, or another database")
    }
    return store
  }

  /// What the next segment covers: entries of one log partition; or numbers that no entry has, which are worth a
  /// segment where they end a partition. Whole partitions without an entry share one segment, however many they are.
  private func entriesOfNext(
    after lastEntry: Int64, upTo sealed: Int64
  ) throws(OpsError) -> ClosedRange<Int64>? {
    let first = lastEntry + 1
    let partition = EntryNumber.partition(of: first)
    let entry = try session.firstEntry(from: first, to: sealed)
    if let entry, partition.contains(entry) { return first...min(sealed, partition.upperBound) }
    guard partition.upperBound <= sealed else { return nil }
    guard first == partition.lowerBound else { return first...partition.upperBound }
    return first...(EntryNumber.partition(of: entry ?? sealed + 1).lowerBound - 1)
  }

  private func write(
    _ entries: ClosedRange<Int64>, _ store: Store, _ tree: inout MerkleFrontier,
    _ report: inout PushReport
  ) throws(OpsError) {
    let name = SegmentName(entries)
    let writer = try SegmentWriter(files, name, identity: store.record.identity, before: tree)
    let lines = try LogLines(entries, on: try session.connection())
    while let line = try lines.next() { try writer.write(line) }
    let (index, isNew) = try writer.finish()
    guard isNew else {
      throw OpsError(
        store: .diverged, "\(files.place) has \(name.path) already, and this push did not write it",
        hint: "another database pushes into this store: see `opsledger archive verify`")
    }
    tree = index.after
    try session.record(
      StoredRoot(entry: entries.upperBound, frontier: tree, root: index.root), byPush: true)
    report.lastEntry = entries.upperBound
    report.events += Int(clamping: index.eventCount)
    report.segments.append(name)
  }
}
