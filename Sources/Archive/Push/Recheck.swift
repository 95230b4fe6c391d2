import Crypto
import Ledger
import Log
import Postgres

/// Hashes a part of the stored entries again and compares it with the store. Each push checks the next part, so that all
/// entries are checked within a day.
///
/// `ledger.rechecks` says where the next check begins. It proves nothing: if its tree differs from the store's, the
/// events themselves are compared.
struct Recheck {
  let session: Session
  let store: Store
  let list: SegmentList
  /// The store's tree up to its last entry.
  let tree: MerkleFrontier

  /// The least number of events that a push checks.
  static let eventsMin = 4096
  /// The time in which all events are checked.
  private static let roundSeconds = 72_000.0

  private typealias Position = (entry: Int64, tree: MerkleFrontier)

  /// - Throws: `OPS_015` if the log differs from what was pushed, naming the first entry that differs.
  func run() throws(OpsError) {
    guard list.lastEntry > 0 else { return }
    // Archived entries cannot be checked: the store must have the recorded root there.
    let begin = try store.archivedTree(list, session)
    let (position, seconds) = try state(begin)
    let total = Double(tree.size)
    let share = max(Double(Self.eventsMin), total * seconds / Self.roundSeconds)
    let end = try lastEntry(of: Int(min(share, total)) + 1, after: position.entry)
    var read = position
    var passed: Position?
    if read.entry < end { (read, passed) = try hash(from: read, to: end) }
    if let passed,
      let known = try other(than: passed.tree, at: passed.entry, after: position.entry)
    {
      read = (passed.entry, known)
    }
    try note(read.entry == list.lastEntry ? begin : read)
  }

  /// Where the last push stopped, and how long ago.
  private func state(_ begin: Position) throws(OpsError) -> (Position, seconds: Double) {
    var parameters = Parameters()
    parameters.text(store.files.place)
    let rows = try session.query(
      Statement(
        """
        SELECT r.entry, r.frontier, extract(epoch FROM ledger.now() - r.at)::float8
        FROM ledger.rechecks AS r WHERE r.store = $1::text AND isfinite(r.at) AND r.at <= ledger.now()
        """), parameters)
    guard rows.count == 1 else { return (begin, 0) }
    let (entry, bytes, seconds) = try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), try rows.bytea(0, 1), try rows.float8(0, 2))
    }
    guard (begin.entry..<list.lastEntry).contains(entry), let tree = MerkleFrontier(bytes) else {
      return (begin, max(0, seconds))
    }
    return ((entry, tree), max(0, seconds))
  }

  /// The entry of the event that follows this entry at a distance of `events`; the last stored entry if fewer follow.
  private func lastEntry(of events: Int, after entry: Int64) throws(OpsError) -> Int64 {
    try session.number(
      Statement(
        """
        SELECT e.entry FROM ledger.events AS e
        WHERE e.entry > $1::bigint AND e.entry <= $2::bigint
        ORDER BY e.entry, e.index OFFSET $3::bigint LIMIT 1
        """), entry, list.lastEntry, Int64(events)) ?? list.lastEntry
  }

  /// - Returns: The tree up to `end`, and the tree at the last segment's end up to there.
  private func hash(
    from begin: Position, to end: Int64
  ) throws(OpsError) -> (Position, Position?) {
    let hasher = TreeHasher()
    let lines = try LogLines(begin.entry + 1...end, on: try session.connection())
    let last = list.segments.map(\.name.entries.upperBound).last { $0 > begin.entry && $0 <= end }
    var (tree, passed) = (begin.tree, nil as Position?)
    while let (event, leaf) = try lines.nextLeaf() {
      if let last, passed == nil, event.entry > last { passed = (last, tree) }
      tree.append(leaf, hasher)
    }
    return ((end, tree), passed ?? last.map { ($0, tree) })
  }

  /// The store's tree at the end of a segment; nil if it equals the tree that was found.
  ///
  /// - Throws: If the log differs from the store. If it does not, `ledger.rechecks` was wrong.
  private func other(
    than found: MerkleFrontier, at entry: Int64, after begin: Int64
  ) throws(OpsError) -> MerkleFrontier? {
    guard let segment = list.segments.first(where: { $0.name.entries.upperBound == entry }) else {
      return nil
    }
    let known = entry == list.lastEntry ? tree : try store.reader(of: segment).index.after
    guard known != found else { return nil }
    // The last push may have ended within a segment: compares that from its beginning.
    let ends = list.segments.map(\.name.entries.upperBound).last { $0 <= begin }
    guard let first = try store.firstDifference((ends ?? 0) + 1...entry, list, session) else {
      return known
    }
    throw OpsError(
      store: .diverged,
      "the log is no longer what was pushed to \(store.files.place): entry \(first) differs",
      hint:
        "somebody changed the log behind its guards. `opsledger verify --store \(store.files.place)` names "
        + "the differences; `opsledger restore` puts back missing entries, and with --to it restores into "
        + "another database",
      facts: ["entry": String(first)])
  }

  private func note(_ position: Position) throws(OpsError) {
    var parameters = Parameters()
    parameters.text(store.files.place)
    parameters.int8(position.entry)
    parameters.bytes(position.tree.bytes)
    _ = try session.query(
      Statement(
        """
        INSERT INTO ledger.rechecks AS r (store, entry, frontier, at)
        VALUES ($1::text, $2::bigint, $3::bytea, ledger.now())
        ON CONFLICT (store) DO UPDATE
          SET entry = EXCLUDED.entry, frontier = EXCLUDED.frontier, at = EXCLUDED.at
        """), parameters)
  }
}

extension Store {
  /// The last archived entry of a database, and the store's tree up to it; 0 and an empty tree if none is archived.
  func archivedTree(
    _ list: SegmentList, _ session: Session
  ) throws(OpsError) -> (entry: Int64, tree: MerkleFrontier) {
    let archived = try session.lastArchived()
    guard archived > 0, let tree = try tree(list, at: archived) else {
      return (0, MerkleFrontier())
    }
    return (archived, tree)
  }

  /// The tree up to an entry at the end of a log partition; nil if no segment ends there.
  func tree(_ list: SegmentList, at entry: Int64) throws(OpsError) -> MerkleFrontier? {
    guard let segment = list.segment(with: entry) else { return nil }
    return try index(of: segment, asOf: entry)?.after
  }
}
