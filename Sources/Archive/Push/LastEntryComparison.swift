import Crypto
import Ledger
import Log
import Postgres

/// Whether a store holds what this database pushed, and nothing else.
///
/// What lies in a store is believed for what its bytes prove. One that has entries which the database lacks stops the
/// database only where both are true:
///
/// - the store proves it: its segments are sound, they go on from history that both have, and they hold such an entry;
/// - the database can be an old copy of itself: it has pushed nothing since its server was started (`ledger.pushed_since_start`).
///
/// In all other cases the store is a stranger, or damaged: it is named, nothing is pushed to it, and recording goes on.
struct LastEntryComparison {
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
  /// - Throws: `OPS_015` where the store differs from the database, or cannot be read.
  func run() throws(OpsError) -> MerkleFrontier {
    guard let last = list.segments.last else { return MerkleFrontier() }
    let lost = try session.lostEntries()
    let index: SegmentIndex
    do throws(OpsError) { index = try store.reader(of: last).index } catch {
      throw error.whereNothingIsPushed
    }
    if list.lastEntry <= sealed, try hasRoot(of: index) { return index.after }
    if let lost, lost.contains(list.lastEntry) { throw .lost(lost, from: store.files.place) }
    throw try refusal()
  }

  /// Whether the database's log has this root at the segment's end: as it was noted; where it was not, or was noted
  /// wrongly, as the log hashes to.
  private func hasRoot(of index: SegmentIndex) throws(OpsError) -> Bool {
    if try session.storedRoot(at: list.lastEntry)?.root == index.root { return true }
    if try hashed(from: lastRecorded()) == index.root { return true }
    return try hashed(from: beginning()) == index.root
  }

  /// The database's root at the tip.
  private func hashed(from begin: (entry: Int64, tree: MerkleFrontier)) throws(OpsError) -> Digest {
    let hasher = TreeHasher()
    var tree = begin.tree
    if begin.entry == list.lastEntry { return tree.root(hasher) }
    let lines = try LogLines(begin.entry + 1...list.lastEntry, on: try session.connection())
    while let next = try lines.nextLeaf() { tree.append(next.leaf, hasher) }
    return tree.root(hasher)
  }

  /// The last segment's end before the tip at which the database has noted its root.
  private func lastRecorded() throws(OpsError) -> (entry: Int64, tree: MerkleFrontier) {
    for segment in list.segments.dropLast().reversed() {
      let entry = segment.name.entries.upperBound
      if let known = try session.storedRoot(at: entry) { return (entry, known.frontier) }
    }
    return try beginning()
  }

  private func beginning() throws(OpsError) -> (entry: Int64, tree: MerkleFrontier) {
    let archivedPart = try session.lastArchived()
    guard archivedPart > 0, let tree = try store.tree(list, at: archivedPart) else {
      return (0, MerkleFrontier())
    }
    return (archivedPart, tree)
  }

  // MARK: What a store proves that is not this database's

  private func refusal() throws(OpsError) -> OpsError {
    let survey = try Survey(session, [Survey.Source(store, list)], goesOnFromKnown: true).run()
    guard let entry = survey.firstForeign else {
      if let loss = survey.loss { return loss.cause.whereNothingIsPushed }
      // Its events are the database's, its roots are not.
      if let damage = try damage(in: list.segments.last) { return damage }
      return OpsError(
        store: .diverged,
        "\(store.files.place) has other roots up to entry \(list.lastEntry) than the database",
        hint: "see `opsledger archive verify` and `opsledger verify`"
      ).whereNothingIsPushed
    }
    if let damage = try damage(in: list.segment(with: entry)) { return damage }
    guard try survey.hasCommonHistory(), try !session.pushedSinceStart() else {
      return .stranger(store.files.place, entry: entry).whereNothingIsPushed
    }
    let common = survey.divergence ?? entry
    if let impossible = try Trial(session: session, missing: survey.missing, before: common).run() {
      return .stranger(
        store.files.place, entry: entry, "none could: \(impossible.message)"
      ).whereNothingIsPushed
    }
    try session.markStale()
    return OpsError(
      store: .diverged,
      "\(store.files.place) is ahead of this database, or differs: it has an entry \(entry) that the database lacks",
      hint:
        "bring the database back with `opsledger restore`; until then nothing is recorded in it",
      at: store.files.place, facts: ["entry": String(entry)])
  }

  private func damage(in segment: SegmentList.Segment?) throws(OpsError) -> OpsError? {
    guard let segment else { return nil }
    do throws(OpsError) { try store.reader(of: segment).verify() } catch {
      guard error.code == .storeDiverged else { throw error }
      return error.whereNothingIsPushed
    }
    return nil
  }
}

extension Session {
  /// Whether this database has pushed since its server was started: then it is no old copy of itself.
  func pushedSinceStart() throws(OpsError) -> Bool {
    let rows = try query(Statement("SELECT ledger.pushed_since_start()"))
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }
}

extension OpsError {
  static func lost(_ entries: ClosedRange<Int64>, from place: String) -> OpsError {
    OpsError(
      store: .diverged,
      "this ledger goes on without entries \(entries.lowerBound) to \(entries.upperBound), which "
        + "\(place) has or had",
      hint: "push to a new store: name an empty place")
  }

  /// A store that holds what this database, which went on without a break, never recorded.
  static func stranger(_ place: String, entry: Int64, _ why: String? = nil) -> OpsError {
    OpsError(
      store: .diverged,
      "\(place) has an entry \(entry) that this database never recorded"
        + (why.map { ", and \($0)" } ?? ""),
      hint:
        "somebody else wrote to it: put the store back from another copy, or push to an empty place. "
        + "Where this machine was set back to an earlier state while its server ran, restart the "
        + "server and name the store in `opsledger restore`",
      at: place, facts: ["entry": String(entry)])
  }

  /// The same of a push, which tells that nothing else has come of it.
  fileprivate var whereNothingIsPushed: OpsError {
    guard code == .storeDiverged else { return self }
    return saying("\(message); nothing is pushed there, and recording goes on", hint: hint)
  }
}
