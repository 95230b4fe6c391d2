import Crypto
import Ledger
import Log
import Postgres

/// Hashes a share of what was pushed before again, and compares it with the store: each push a share, so that all of it
/// is looked at within a day, however often pushes come.
///
/// How far it is stands in `ledger.rechecks`. Nothing is believed from there but where to go on: where the tree that it
/// has is not the store's, the events themselves are compared.
struct Recheck {
  let session: Session
  let store: Store
  let list: SegmentList
  /// The store's tree at its tip.
  let tree: MerkleFrontier

  /// Events that each push looks at, where so many were pushed before.
  static let eventsMin = 4096
  /// All of them are looked at in so many seconds.
  private static let roundSeconds = 72_000.0

  /// - Throws: `OPS_015` where the log is no longer what was pushed, naming the first entry that differs.
  func run() throws(OpsError) {
    guard list.lastEntry > 0 else { return }
    let begin = try beginning()
    let (position, seconds) = try state(begin)
    let total = Double(tree.size)
    let share = max(Double(Self.eventsMin), total * seconds / Self.roundSeconds)
    let end = try lastEntry(of: Int(min(share, total)) + 1, after: position.entry)
    var read = position
    var passed: [Int64: MerkleFrontier] = [:]
    if read.entry < end { (read, passed) = try hash(from: read, to: end) }
    if let entry = passed.keys.max(), let found = passed[entry],
      let known = try other(than: found, at: entry, after: position.entry)
    {
      read = Position(entry: entry, tree: known)
    }
    try note(read.entry == list.lastEntry ? begin : read)
  }

  private struct Position {
    var entry: Int64
    var tree: MerkleFrontier
  }

  /// What has left the database is not looked at: it has the root there, which the store must have.
  private func beginning() throws(OpsError) -> Position {
    let archivedPart = try session.lastArchived()
    guard archivedPart > 0,
      let tree = try store.tree(list, at: archivedPart)
    else { return Position(entry: 0, tree: MerkleFrontier()) }
    return Position(entry: archivedPart, tree: tree)
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
    return (Position(entry: entry, tree: tree), max(0, seconds))
  }

  /// The entry with the event that comes so many after this entry; the store's tip where there are fewer.
  private func lastEntry(of events: Int, after entry: Int64) throws(OpsError) -> Int64 {
    var parameters = Parameters()
    parameters.int8(entry)
    parameters.int8(list.lastEntry)
    parameters.int8(Int64(events))
    let rows = try session.query(
      Statement(
        """
        SELECT e.entry FROM ledger.events AS e
        WHERE e.entry > $1::bigint AND e.entry <= $2::bigint
        ORDER BY e.entry, e.index OFFSET $3::bigint LIMIT 1
        """), parameters)
    guard rows.count == 1 else { return list.lastEntry }
    return try onDatabase { () throws(PostgresError) in try rows.int8(0, 0) }
  }

  /// - Returns: The tree up to `end`, and the one at the last segment's end on the way.
  private func hash(
    from begin: Position, to end: Int64
  ) throws(OpsError) -> (Position, [Int64: MerkleFrontier]) {
    let hasher = TreeHasher()
    let lines = try LogLines(begin.entry + 1...end, on: try session.connection())
    var (tree, passed) = (begin.tree, [Int64: MerkleFrontier]())
    var ends = list.segments.map(\.name.entries.upperBound).filter {
      $0 > begin.entry && $0 <= end
    }[
      ...]
    func pass(_ entry: Int64) {
      while let next = ends.first, next < entry {
        ends.removeFirst()
        passed = [next: tree]
      }
    }
    while let (event, leaf) = try lines.nextLeaf() {
      pass(event.entry)
      tree.append(leaf, hasher)
    }
    pass(.max)
    return (Position(entry: end, tree: tree), passed)
  }

  /// The store's tree at the end of a segment, where it is not the one that was found.
  ///
  /// - Throws: Where the log is not the store's; else the place to go on from was wrong.
  private func other(
    than found: MerkleFrontier, at entry: Int64, after begin: Int64
  ) throws(OpsError) -> MerkleFrontier? {
    guard let segment = list.segments.first(where: { $0.name.entries.upperBound == entry }) else {
      return nil
    }
    let known = entry == list.lastEntry ? tree : try store.reader(of: segment).index.after
    guard known != found else { return nil }
    // What was hashed by the last push, too, where it ended within a segment.
    let ends = list.segments.map(\.name.entries.upperBound).last { $0 <= begin }
    guard let first = try store.firstDifference((ends ?? 0) + 1...entry, list, session) else {
      return known
    }
    throw OpsError(
      store: .diverged,
      "the log is no longer what was pushed to \(store.files.place): entry \(first) differs",
      hint: "the database was changed behind its guards: `opsledger verify` with this store says "
        + "what differs; `opsledger restore` puts back what is missing, or makes another database, --to",
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
  /// The tree up to an entry that ends a log partition; nil where no segment tells.
  func tree(_ list: SegmentList, at entry: Int64) throws(OpsError) -> MerkleFrontier? {
    guard let segment = list.segment(with: entry) else { return nil }
    return try index(of: segment, asOf: entry)?.after
  }
}
