import Crypto
import Ledger
import Log
import Postgres

/// Checks that a store holds what this database pushed, and nothing else.
///
/// opsledger believes only what the bytes of a store prove. A store with entries that the database lacks stops the
/// database only if both are true:
///
/// - The store proves it: its segments are sound, continue the history that both have, and hold such an entry.
/// - The database can be a stale copy: it has pushed nothing since its server started (`ledger.pushed_since_start`).
///
/// Otherwise the store is untrusted or damaged. The push names it and writes nothing to it, and the database keeps
/// recording.
struct LastEntryComparison {
  let session: Session
  let store: Store
  let list: SegmentList
  let sealed: Int64

  /// - Returns: The tree up to the last stored entry, which the push continues.
  /// - Throws: `OPS_015` if the store differs from the database, or cannot be read.
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

  /// Whether the database's log has this root at the segment's end. Hashes the log if that root is not recorded, or is
  /// recorded wrongly.
  private func hasRoot(of index: SegmentIndex) throws(OpsError) -> Bool {
    if try session.storedRoot(at: list.lastEntry)?.root == index.root { return true }
    if try hashed(from: lastRecorded()) == index.root { return true }
    return try hashed(from: store.archivedTree(list, session)) == index.root
  }

  /// The database's root at the last stored entry.
  private func hashed(from begin: (entry: Int64, tree: MerkleFrontier)) throws(OpsError) -> Digest {
    var tree = begin.tree
    if begin.entry < list.lastEntry {
      try tree.append(begin.entry + 1...list.lastEntry, of: session)
    }
    return tree.root(TreeHasher())
  }

  /// The end of the last segment, before the last stored entry, at which the database has a recorded root.
  private func lastRecorded() throws(OpsError) -> (entry: Int64, tree: MerkleFrontier) {
    for segment in list.segments.dropLast().reversed() {
      let entry = segment.name.entries.upperBound
      if let known = try session.storedRoot(at: entry) { return (entry, known.frontier) }
    }
    return try store.archivedTree(list, session)
  }

  private func refusal() throws(OpsError) -> OpsError {
    let source = Survey.Source(store: store, list: list)
    let survey = try Survey(session, [source], goesOnFromKnown: true).run()
    guard let entry = survey.firstForeign else {
      if let loss = survey.loss { return loss.cause.whereNothingIsPushed }
      // The events are the same, and the roots are not.
      if let damage = try damage(in: list.segments.last) { return damage }
      return OpsError(
        store: .diverged,
        "\(store.files.place) has other roots up to entry \(list.lastEntry) than the database",
        hint: "see `opsledger archive verify` and `opsledger verify`"
      ).whereNothingIsPushed
    }
    if let damage = try damage(in: list.segment(with: entry)) { return damage }
    guard try survey.hasCommonHistory(), try !session.pushedSinceStart() else {
      return untrusted(entry)
    }
    let common = survey.divergence ?? entry
    if let impossible = try Trial(session: session, missing: survey.missing, before: common).run() {
      return untrusted(entry, ", and cannot record: \(impossible.message)")
    }
    try session.markStale()
    return OpsError(
      store: .diverged,
      "\(store.files.place) has an entry \(entry) that this database lacks, or has otherwise: the database is a "
        + "stale copy, and records nothing now",
      hint: "run `opsledger restore`: it puts missing entries back, or names the first difference",
      at: store.files.place, facts: ["entry": String(entry)])
  }

  /// The store has an entry that this database never recorded, and the database is no stale copy.
  private func untrusted(_ entry: Int64, _ why: String = "") -> OpsError {
    OpsError(
      store: .diverged,
      "\(store.files.place) has an entry \(entry) that this database never recorded\(why)",
      hint:
        "somebody else wrote to the store: put it back from another copy, or push to an empty place. If "
        + "this machine was set back to an earlier state while its server ran, restart the server, and "
        + "name the store in `opsledger restore`",
      at: store.files.place, facts: ["entry": String(entry)]
    ).whereNothingIsPushed
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
  /// Whether this database has pushed since its server started, and thus is no stale copy.
  func pushedSinceStart() throws(OpsError) -> Bool {
    let rows = try query(Statement("SELECT ledger.pushed_since_start()"))
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }
}

extension OpsError {
  static func lost(_ entries: ClosedRange<Int64>, from place: String) -> OpsError {
    OpsError(
      store: .diverged,
      "\(place) has or had entries \(entries.lowerBound) to \(entries.upperBound), which a restore with "
        + "--allow-loss gave up",
      hint: "push to a new store: name an empty place")
  }

  /// The same error of a push, which says that it changed nothing.
  fileprivate var whereNothingIsPushed: OpsError {
    guard code == .storeDiverged else { return self }
    return saying("\(message); nothing was pushed, and the database keeps recording", hint: hint)
  }
}
