import Crypto
import JSON
public import Ledger
public import Log
import Postgres

/// What a push did.
public struct PushReport: Equatable, Sendable {
  public var store: String
  /// The last entry that the store covers now.
  public var tip: Int64
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

  /// Entries of one log partition, which no segment crosses the end of.
  static let span: Int64 = 1_000_000

  public init(
    _ session: Session, _ files: any ObjectStore, _ progress: ReplayProgress = ReplayProgress()
  ) {
    self.session = session
    self.files = files
    self.progress = progress
  }

  /// - Parameters:
  ///   - mayBegin: Whether a store is begun where there is none; one that was there and is gone is out of reach.
  ///   - lockMillis: How long another push is waited for; 0: until it ends.
  /// - Throws: `OPS_015` where the store is another ledger's, or holds what this database lacks; this database is
  ///   then stopped until `restore` has settled it.
  public func run(mayBegin: Bool = true, lockMillis: Int = 0) throws(OpsError) -> PushReport {
    let connection = try session.connection()
    defer { try? connection.execute("SET lock_timeout = '10s'") }
    try onDatabase { () throws(PostgresError) in
      try connection.execute("SET lock_timeout = \(lockMillis)")
      try connection.execute("SELECT pg_advisory_lock(19796, 5)")
    }
    defer { try? connection.execute("SELECT pg_advisory_unlock(19796, 5)") }
    let (store, isBegun) = try open(mayBegin)
    let list = try store.segments()
    try requireDeparted(upTo: list.tip)
    try requireNotLost(from: store)
    if try session.home() == .elsewhere(onlyTimeline: true) { try settle(store, list) }
    let sealed = try session.seal()
    var tree = try TipComparison(session, store, list, sealed: sealed).run()
    var report = PushReport(store: files.place, tip: list.tip, isBegun: isBegun)
    while report.tip < sealed {
      let first = report.tip + 1
      let end = first / Self.span * Self.span + Self.span - 1
      let last = min(sealed, end)
      // Numbers that no entry has are worth a segment only where they end a partition.
      if last < end, try session.firstEntry(from: first, to: last) == nil { break }
      try write(first...last, store, &tree, &report)
    }
    for name in list.superseded { try files.remove(name.path) }
    try erase(from: store, &report)
    report.merged = try store.mergePartitions(store.segments())
    report.tiles = try store.writeTiles(store.segments().wholePartitions)
    return report
  }

  /// What has left the database cannot be pushed into another store.
  private func requireDeparted(upTo tip: Int64) throws(OpsError) {
    let departed = try session.lastDeparted()
    guard tip < departed else { return }
    throw OpsError(
      .storeDiverged,
      "entries up to \(departed) have left the database, and \(files.place) "
        + (tip == 0 ? "has none" : "ends at \(tip)"),
      hint: "begin a further store as a copy of one that has them")
  }

  /// A store whose newest segments were lost has snapshots of them still.
  private func requireNotLost(from store: Store) throws(OpsError) {
    guard let lost = try session.lostEntries(),
      try store.snapshots().snapshots.contains(where: { lost.contains($0.name.entry) })
    else { return }
    throw .lost(lost, from: files.place)
  }

  /// Applies every erasure that the store has the event of.
  private func erase(from store: Store, _ report: inout PushReport) throws(OpsError) {
    let erasures = try session.erasures(upTo: report.tip)
    if erasures.entries.isEmpty { return }
    report.erased = try store.erase(erasures, from: store.segments())
    report.erasedSnapshots = try store.erase(erasures, from: store.snapshots(), session.target)
  }

  /// After a failover: where the promoted server holds what was stored, the ledger lives there from now on.
  private func settle(_ store: Store, _ list: SegmentList) throws(OpsError) {
    _ = try TipComparison(session, store, list, sealed: try session.sealed()).run()
    try session.settleHome(above: max(try session.highestEntries().drawn, list.tip) + Home.jump)
    let facts: [String: JSON] = [
      "store": .string(files.place), "tip": .int(list.tip), "because": .string("another timeline"),
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
        facts: ["store": files.place])
    }
    // Before it is begun: an empty store would be in the way of a copy, and of a fork.
    try requireDeparted(upTo: 0)
    let store = try Store.begin(files, StoreRecord(identity: own.identity, title: own.title))
    return (try checked(store, own), true)
  }

  private func checked(_ store: Store, _ own: LedgerRecord) throws(OpsError) -> Store {
    guard store.record.identity == own.identity else {
      throw OpsError(
        .storeDiverged,
        "\(files.place) is the store of \(store.record.title) (\(store.record.identity)), "
          + "not of \(own.title) (\(own.identity))",
        hint: "name another place, or another database")
    }
    return store
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
        .storeDiverged, "\(files.place) has \(name.path) already, and this push did not write it",
        hint: "another database pushes into this store: see `opsledger archive verify`")
    }
    tree = index.after
    try session.record(
      StoredRoot(entry: entries.upperBound, frontier: tree, root: index.root))
    report.tip = entries.upperBound
    report.events += Int(clamping: index.eventCount)
    report.segments.append(name)
  }
}

/// Whether the database has what the store has up to its tip.
private struct TipComparison {
  let session: Session
  let store: Store
  let list: SegmentList
  let sealed: Int64

  init(_ session: Session, _ store: Store, _ list: SegmentList, sealed: Int64) {
    self.session = session
    self.store = store
    self.list = list
    self.sealed = sealed
  }

  /// - Returns: The tree up to the tip, to go on from.
  func run() throws(OpsError) -> MerkleFrontier {
    guard let last = list.segments.last else { return MerkleFrontier() }
    guard list.tip <= sealed else {
      throw try stop("it has entries up to \(list.tip), the database up to \(sealed)")
    }
    let index = try store.reader(of: last).index
    let known = try session.storedRoot(at: list.tip)
    let here = if let known { known.root } else { try hashed(upTo: index) }
    guard here == index.root else {
      throw try stop(
        "its root at entry \(list.tip) is \(index.root.hex), the database's \(here.hex)")
    }
    return index.after
  }

  /// The database's root at the tip where it was not noted: hashed on from the last segment at whose end it was.
  private func hashed(upTo index: SegmentIndex) throws(OpsError) -> Digest {
    var tree = MerkleFrontier()
    var first: Int64 = 1
    for segment in list.segments.dropLast().reversed() {
      let entry = segment.name.entries.upperBound
      guard let known = try session.storedRoot(at: entry) else { continue }
      (tree, first) = (known.frontier, entry + 1)
      break
    }
    let hasher = TreeHasher()
    let lines = try LogLines(first...list.tip, on: try session.connection())
    while let next = try lines.nextLeaf() { tree.append(next.leaf, hasher) }
    return tree.root(hasher)
  }

  /// Nothing more is recorded in a database that lacks what its store has, unless that is known.
  private func stop(_ what: String) throws(OpsError) -> OpsError {
    if let lost = try session.lostEntries(), lost.contains(list.tip) {
      return .lost(lost, from: store.files.place)
    }
    try session.markBehind()
    return OpsError(
      .storeDiverged, "\(store.files.place) is ahead of this database, or differs: \(what)",
      hint: "bring the database back with `opsledger restore`; until then nothing is recorded in it"
    )
  }
}

extension OpsError {
  fileprivate static func lost(_ entries: ClosedRange<Int64>, from place: String) -> OpsError {
    OpsError(
      .storeDiverged,
      "this ledger goes on without entries \(entries.lowerBound) to \(entries.upperBound), which "
        + "\(place) has or had",
      hint: "push to a new store: name an empty place")
  }
}
