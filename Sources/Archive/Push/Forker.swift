import Crypto
import JSON
public import Ledger
public import Log
import Postgres
public import Replay

public struct ForkReport: Sendable {
  /// The identity of the new history.
  public var identity: StreamID
  public var parent: StoreRecord.Parent
  /// The entry that records the fork; nil if an earlier attempt has recorded it.
  public var entry: Int64?
  public var push: PushReport
}

/// Continues a diverged database in a new store, as a history of its own: diverged histories cannot be merged.
///
/// The new store gets the whole history, so a restore needs no other store. The old store stays as it is. If a fork is
/// interrupted, the same command continues it.
public struct Forker {
  private let session: Session
  private let files: any ObjectStore
  private let parent: Store?
  private let why: String
  private let actor: String
  private let progress: ReplayProgress

  /// - Parameters:
  ///   - files: The new store's place, which must be empty.
  ///   - parent: The store of the old history. Without one, the last recorded root is the last common entry.
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

  /// - Throws: `OPS_015` if the place holds another store, or the parent belongs to another ledger.
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
    // Roots that were recorded after the last common entry belong to the old history.
    if recorded > parent.entry {
      var target = session.target
      target.archivedLog = StoredLog(files)
      _ = try Rebuilder.run(target, actor: actor, checkOnly: false, progress)
    }
    return ForkReport(
      identity: store.record.identity, parent: parent, entry: entry, push: push)
  }

  /// The new store, or the one that an interrupted attempt began.
  private func begin(_ own: LedgerRecord) throws(OpsError) -> Store {
    if let known = try Store.open(files) {
      let isOurs =
        known.record.identity == own.identity || known.record.parent?.identity == own.identity
      guard isOurs, known.record.parent != nil else { throw taken(known) }
      return known
    }
    if let parent, parent.record.identity != own.identity,
      // The store of an earlier fork may be lost before it got anything: its parent is the parent of this one too.
      try session.parentLine() != parent.record.identity
    {
      try parent.require(own.identity, hint: "name the store of the database's old history: --from")
    }
    // Checked before anything is recorded.
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
      "\(files.place) already is the store of \(store.record.title) (\(store.record.identity))",
      hint: "name an empty directory or bucket prefix for the new store")
  }

  private func withoutParent() throws(OpsError) -> OpsError {
    OpsError(
      store: .diverged,
      "entries up to \(try session.lastArchived()) are archived, and the new store needs them too",
      hint: "name the store that has them: --from")
  }

  private func lastCommon(_ identity: StreamID) throws(OpsError) -> StoreRecord.Parent {
    guard let parent else {
      let recorded = try session.lastStoredRoot(upTo: .max)
      return StoreRecord.Parent(
        identity: identity, entry: recorded?.entry ?? 0,
        root: recorded?.root ?? TreeHasher.emptyRoot)
    }
    let source = Survey.Source(store: parent, list: try parent.foundSegments())
    let survey = try Survey(session, [source]).run()
    let last = min(survey.lastEntry, (survey.firstDifference ?? .max) - 1)
    let entry = try session.lastEntry(upTo: last) ?? 0
    return StoreRecord.Parent(
      identity: parent.record.identity, entry: entry,
      root: try session.tree(upTo: entry).root(TreeHasher()))
  }

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

  /// Copies the archived entries from the parent.
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
      try writer.write(all: reader)
      _ = try writer.finish()
    }
  }
}

extension Session {
  /// The identity of the history that this ledger forked from last; nil if it never forked.
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

  /// The last recorded root up to an entry.
  func lastStoredRoot(upTo entry: Int64) throws(OpsError) -> StoredRoot? {
    let found = try number(
      Statement(
        """
        SELECT max(c.entry) FROM ledger.checkpoints AS c
        WHERE c.entry <= $1::bigint AND c.root IS NOT NULL
        """), entry)
    guard let found else { return nil }
    if let root = try storedRoot(at: found) { return root }
    return try lastStoredRoot(upTo: found - 1)
  }

  /// The tree of the log up to an entry, hashed from the last recorded root on.
  fileprivate func tree(upTo entry: Int64) throws(OpsError) -> MerkleFrontier {
    let known = try lastStoredRoot(upTo: entry)
    var tree = known?.frontier ?? MerkleFrontier()
    let first = (known?.entry ?? 0) + 1
    if first <= entry { try tree.append(first...entry, of: self) }
    return tree
  }
}
