import Crypto
import JSON
public import Ledger
public import Log
public import Replay

public struct PushReport: Equatable, Sendable {
  public var store: String
  /// The last stored entry.
  public var lastEntry: Int64
  /// Whether this push began the store.
  public var isBegun = false
  /// The events and segments that this push wrote.
  public var events = 0
  public var segments: [SegmentName] = []
  /// The segments that were merged from small ones of a log partition.
  public var merged: [SegmentName] = []
  /// The number of tiles that this push wrote.
  public var tiles = 0
  /// The files that were written again without erased content.
  public var erased: [SegmentName] = []
  public var erasedSnapshots: [SnapshotName] = []
}

/// Copies newly sealed entries into a store.
///
/// A segment gets its name after all of it was written and read back, and the database records its root after that. If
/// a push is interrupted, the next push continues. A second push at the same time waits for the first.
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
  ///   - mayBegin: Whether to begin a store in an empty place. If not, an empty place counts as unreachable.
  ///   - waitSeconds: The longest wait for another push; nil: no limit.
  ///   - taskLease: The lease of a caller that already has one.
  /// - Throws: `OPS_015` if the store belongs to another ledger, or has entries that this database lacks. If they prove
  ///   that this database is a stale copy, it records nothing until `restore` has resolved that.
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
    if try session.instanceState() == .elsewhere(onlyTimeline: true) { try resolve(store, list) }
    let sealed = try session.seal()
    var tree = try LastEntryComparison(session: session, store: store, list: list, sealed: sealed)
      .run()
    try Recheck(session: session, store: store, list: list, tree: tree).run()
    var report = PushReport(store: files.place, lastEntry: list.lastEntry, isBegun: isBegun)
    while report.lastEntry < sealed,
      let next = try entriesOfNext(after: report.lastEntry, upTo: sealed)
    {
      try taskLease.renew(session)
      try write(next, store, &tree, &report)
    }
    // The next steps remove files.
    try taskLease.renew(session)
    try removeSuperseded(list, store, upTo: report.lastEntry)
    try erase(from: store, &report)
    try taskLease.require()
    report.merged = try store.mergePartitions(store.segments())
    try taskLease.require()
    report.tiles = try store.writeTiles(store.segments().wholePartitions)
    return report
  }

  /// Archived entries cannot be pushed: the store must have them.
  private func requireArchived(upTo lastEntry: Int64) throws(OpsError) {
    let archivedPart = try session.lastArchived()
    guard lastEntry < archivedPart else { return }
    throw OpsError(
      store: .diverged,
      "entries up to \(archivedPart) are archived, and \(files.place) "
        + (lastEntry == 0 ? "has none of them" : "ends at entry \(lastEntry)"),
      hint: "copy a store that has them to \(files.place), and push again")
  }

  /// A store that lost its newest segments may still have their snapshots.
  private func requireNotLost(from store: Store) throws(OpsError) {
    guard let lost = try session.lostEntries(),
      try store.snapshots().snapshots.contains(where: { lost.contains($0.name.entry) })
    else { return }
    throw .lost(lost, from: files.place)
  }

  /// Removes the files that an interrupted merge or erasure left, after the file that replaces them was verified and
  /// continues its neighbours. A file stays if it has content that the other lacks and no erasure removed: content does
  /// not change a root.
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

  /// Verifies a segment, and that it continues the segment before it and is continued by the next. The root of the last
  /// segment was compared with the database's.
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
      store: .diverged, "\(second.path) of \(files.place) does not continue \(first.path)",
      hint: "see `opsledger archive verify`; remove the one that this ledger did not write",
      at: files.place, file: second.path)
  }

  /// Applies the erasures whose events are stored.
  private func erase(from store: Store, _ report: inout PushReport) throws(OpsError) {
    let erasures = try session.erasures(upTo: report.lastEntry)
    if erasures.entries.isEmpty { return }
    report.erased = try store.erase(erasures, from: store.segments())
    report.erasedSnapshots = try store.erase(erasures, from: store.snapshots(), session.target)
  }

  /// After a failover: if the promoted server has all stored entries, it becomes the ledger's instance.
  private func resolve(_ store: Store, _ list: SegmentList) throws(OpsError) {
    let sealed = try session.sealed()
    _ = try LastEntryComparison(session: session, store: store, list: list, sealed: sealed).run()
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
    let known = try Store.open(files)
    guard known != nil || mayBegin else {
      throw OpsError(
        .databaseUnreachable, "there is no store at \(files.place), and this ledger has one",
        hint: "check that it is mounted; `opsledger archive push` begins a new store",
        cause: .store(StoreFault(.unavailable, at: files.place)))
    }
    // Checked before it begins: an empty store would block a copy or a fork.
    if known == nil { try requireArchived(upTo: 0) }
    let store =
      if let known { known } else {
        try Store.begin(files, StoreRecord(identity: own.identity, title: own.title))
      }
    try store.require(own.identity, hint: "name another place, or another database")
    return (store, isBegun: known == nil)
  }

  /// The entries of the next segment, all of one log partition. Numbers without an entry get a segment only at the end
  /// of a partition, and all whole partitions without an entry share one.
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
        store: .diverged, "\(files.place) already has \(name.path), which this push did not write",
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
