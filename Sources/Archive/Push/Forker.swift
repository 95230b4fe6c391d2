import Crypto
import JSON
public import Ledger
public import Log
import Postgres
public import Replay

/// What a fork came to.
public struct ForkReport: Sendable {
  /// The new line's.
  public var identity: StreamID
  public var parent: StoreRecord.Parent
  /// The entry that records it; nil where an earlier attempt had.
  public var entry: Int64?
  public var push: PushReport
}

/// Lets a database go on in a new store, as a line of history of its own: what it has and another store lacks, and the
/// other way round, cannot be merged.
///
/// The new store gets all of the history, so that it alone brings the ledger back. Nothing of the old one is
/// touched. Begun again after it was cut short, it goes on.
public struct Forker {
  private let session: Session
  private let files: any ObjectStore
  private let parent: Store?
  private let why: String
  private let actor: String
  private let progress: ReplayProgress

  /// - Parameters:
  ///   - files: Where the new store begins: an empty place.
  ///   - parent: The store that the history came from; without one the last root that was noted is what both have.
  public init(
    _ session: Session, into files: any ObjectStore, from parent: Store?, why: String,
    actor: String, _ progress: ReplayProgress = ReplayProgress()
  ) {
    self.session = session
    self.files = files
    self.parent = parent
    self.why = why
    self.actor = actor
    self.progress = progress
  }

  /// - Throws: `OPS_015` where the place holds another store, or the parent is another ledger's.
  public func run() throws(OpsError) -> ForkReport {
    let taskLease = try TaskLease.take(.push, session)
    defer { taskLease.end(session) }
    taskLease.keep(session.target)
    let own = try session.ledgerRecord()
    let store = try begin(own)
    guard let parent = store.record.parent else { throw taken(store) }
    var entry: Int64?
    if own.identity != store.record.identity { entry = try record(store.record, parent) }
    try copyArchived(into: store)
    try taskLease.renew(session)
    let recorded = try session.lastStoredRoot(upTo: .max)?.entry ?? 0
    let push = try Pusher(session, files, progress).run(taskLease: taskLease)
    // What was noted after the last common entry are roots of the line that was left.
    if recorded > parent.entry {
      var target = session.target
      target.archivedLog = StoredLog(files)
      _ = try Rebuilder.run(target, actor: actor, checkOnly: false, progress)
    }
    return ForkReport(
      identity: store.record.identity, parent: parent, entry: entry, push: push)
  }

  /// The new store, or the one that an attempt which was cut short began.
  private func begin(_ own: LedgerRecord) throws(OpsError) -> Store {
    if let known = try Store.open(files) {
      let isOurs =
        known.record.identity == own.identity || known.record.parent?.identity == own.identity
      guard isOurs, known.record.parent != nil else { throw taken(known) }
      return known
    }
    if let parent, parent.record.identity != own.identity,
      // The line that this one left: the store of the fork may be lost before it had anything.
      try session.parentLine() != parent.record.identity
    {
      throw OpsError(
        store: .anotherLedger,
        "\(parent.files.place) is the store of \(parent.record.title) (\(parent.record.identity)), "
          + "not of \(own.title) (\(own.identity))", hint: "name the store that it came from")
    }
    // Before anything is recorded.
    if parent == nil, try session.lastArchived() > 0 { throw try withoutParent() }
    var ids = IDSource.random()
    return try Store.begin(
      files,
      StoreRecord(
        identity: ids.next(at: try session.now()), title: own.title,
        parent: try lastCommon(own.identity)))
  }

  private func taken(_ store: Store) -> OpsError {
    OpsError(
      store: .anotherLedger,
      "\(files.place) is a store already, of \(store.record.title) (\(store.record.identity))",
      hint: "a fork begins in an empty place")
  }

  private func withoutParent() throws(OpsError) -> OpsError {
    OpsError(
      store: .diverged,
      "entries up to \(try session.lastArchived()) have left the database, and the new store wants "
        + "them too", hint: "name the store that has them: --from")
  }

  // MARK: What both have

  private func lastCommon(_ identity: StreamID) throws(OpsError) -> StoreRecord.Parent {
    guard let parent else {
      let recorded = try session.lastStoredRoot(upTo: .max)
      return StoreRecord.Parent(
        identity: identity, entry: recorded?.entry ?? 0,
        root: recorded?.root ?? TreeHasher.emptyRoot)
    }
    let survey = try Survey(session, [Survey.Source(parent, try parent.foundSegments())]).run()
    let differing = [survey.firstMissing, survey.firstExtra, survey.firstOther]
      .compactMap { $0 }.min()
    let last = min(survey.lastEntry, (differing ?? .max) - 1)
    let entry = try session.lastEntry(upTo: last) ?? 0
    return StoreRecord.Parent(
      identity: parent.record.identity, entry: entry,
      root: try session.tree(upTo: entry).root(TreeHasher()))
  }

  // MARK: The database

  private func record(
    _ line: StoreRecord, _ parent: StoreRecord.Parent
  ) throws(OpsError) -> Int64? {
    let stored = try self.parent?.foundSegments().lastEntry ?? 0
    try session.adoptInstance(
      above: try EntryNumber.jumped(over: try session.highestEntries().known, claimed: stored))
    var facts: [String: JSON] = [
      "store": .string(files.place), "parent": .string(parent.identity.description),
      "entry": .int(parent.entry), "root": .string(parent.root.hex),
    ]
    if let from = self.parent { facts["from"] = .string(from.files.place) }
    return try session.record(
      .forked(identity: line.identity, report: JSON.object(facts).text, why: why), by: actor)
  }

  // MARK: The store

  /// What has left the database, from the store that it left for.
  private func copyArchived(into store: Store) throws(OpsError) {
    let archivedPart = try session.lastArchived()
    let lastEntry = try store.segments().lastEntry
    guard lastEntry < archivedPart else { return }
    guard let parent else { throw try withoutParent() }
    for segment in try parent.segments().segments
    where segment.name.entries.lowerBound > lastEntry
      && segment.name.entries.lowerBound <= archivedPart
    {
      let reader = try parent.reader(of: segment)
      let writer = try SegmentWriter(
        files, SegmentName(segment.name.entries), identity: store.record.identity,
        before: reader.index.before)
      try reader.verify { (frame) throws(OpsError) in
        try frame.text.withUnsafeBytes { text in
          Result { () throws(OpsError) in try writer.write(text) }
        }.get()
      }
      _ = try writer.finish()
    }
  }
}

extension Session {
  /// The identity of the line of history that this ledger left last; nil where it left none.
  fileprivate func parentLine() throws(OpsError) -> StreamID? {
    var parameters = Parameters()
    parameters.uuid(.ledger)
    let rows = try query(
      Statement(
        """
        SELECT (e.data #>> '{report,parent}')::uuid FROM ledger.events_in_database AS e
        WHERE e.stream = $1::uuid AND e.type = '\(LedgerRecord.eventType(.forked))' ORDER BY e.version DESC LIMIT 1
        """), parameters)
    guard rows.count == 1 else { return nil }
    return try onDatabase { () throws(PostgresError) in
      try rows.uuidIfPresent(0, 0).map { StreamID($0) }
    }
  }

  /// The last root that was noted up to an entry.
  func lastStoredRoot(upTo entry: Int64) throws(OpsError) -> StoredRoot? {
    var parameters = Parameters()
    parameters.int8(entry)
    let rows = try query(
      Statement(
        """
        SELECT max(c.entry) FROM ledger.checkpoints AS c
        WHERE c.entry <= $1::bigint AND c.root IS NOT NULL
        """), parameters)
    let found = try onDatabase { () throws(PostgresError) in try rows.int8IfPresent(0, 0) }
    guard let found else { return nil }
    if let root = try storedRoot(at: found) { return root }
    return try lastStoredRoot(upTo: found - 1)
  }

  /// The tree of the log up to an entry, hashed on from the last root that was noted.
  func tree(upTo entry: Int64) throws(OpsError) -> MerkleFrontier {
    let recorded = try lastStoredRoot(upTo: entry)
    var tree = recorded?.frontier ?? MerkleFrontier()
    let hasher = TreeHasher()
    let first = (recorded?.entry ?? 0) + 1
    if first <= entry {
      let lines = try LogLines(first...entry, on: try connection())
      while let next = try lines.nextLeaf() { tree.append(next.leaf, hasher) }
    }
    return tree
  }

  /// The greatest entry up to this one that has events.
  fileprivate func lastEntry(upTo last: Int64) throws(OpsError) -> Int64? {
    var parameters = Parameters()
    parameters.int8(last)
    let rows = try query(
      Statement("SELECT max(e.entry) FROM ledger.events AS e WHERE e.entry <= $1::bigint"),
      parameters)
    return try onDatabase { () throws(PostgresError) in try rows.int8IfPresent(0, 0) }
  }
}
