import Crypto
public import Ledger
public import Log
import Postgres

/// What the database knows of the tree up to an entry: a checkpoint with a root.
struct StoredRoot {
  let entry: Int64
  let frontier: MerkleFrontier
  let root: Digest
}

extension Session {
  /// The checkpoint with a root at exactly this entry, where there is one that can be true; `verify` names the others.
  func storedRoot(at entry: Int64) throws(OpsError) -> StoredRoot? {
    var parameters = Parameters()
    parameters.int8(entry)
    let rows = try query(
      Statement(
        """
        SELECT c.root, c.frontier FROM ledger.checkpoints AS c
        WHERE c.entry = $1::bigint AND c.root IS NOT NULL
        """), parameters)
    guard rows.count == 1 else { return nil }
    let (root, frontier) = try onDatabase { () throws(PostgresError) in
      (try rows.byteaIfPresent(0, 0), try rows.byteaIfPresent(0, 1))
    }
    // A row that was damaged proves nothing, and is not in the way: the log is hashed instead.
    guard let root = root.flatMap({ Digest($0) }),
      let frontier = frontier.flatMap({ MerkleFrontier($0) }),
      frontier.root(TreeHasher()) == root
    else { return nil }
    return StoredRoot(entry: entry, frontier: frontier, root: root)
  }

  /// Those of these entries at which a root was noted.
  func recordedRoots(at entries: [Int64]) throws(OpsError) -> Set<Int64> {
    var array = ArrayBuilder(.int8)
    for entry in entries { array.int8(entry) }
    var parameters = Parameters()
    parameters.array(array)
    let rows = try query(
      Statement(
        """
        SELECT c.entry FROM ledger.checkpoints AS c
        WHERE c.root IS NOT NULL AND c.entry = ANY ($1::bigint[])
        """), parameters)
    return try onDatabase { () throws(PostgresError) in
      var recorded: Set<Int64> = []
      for row in 0..<rows.count { recorded.insert(try rows.int8(row, 0)) }
      return recorded
    }
  }

  /// Whether anything of this ledger is known to be in a store.
  public func wasPushed() throws(OpsError) -> Bool {
    let rows = try query(
      Statement("SELECT EXISTS (SELECT FROM ledger.checkpoints AS c WHERE c.root IS NOT NULL)"))
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }

  /// Records a root. One that is there stays.
  ///
  /// - Parameter byPush: Whether this database has just pushed what it has up to there.
  func record(_ root: StoredRoot, byPush: Bool = false) throws(OpsError) {
    var parameters = Parameters()
    parameters.int8(root.entry)
    parameters.int8(Int64(clamping: root.frontier.size))
    parameters.bytes(root.root.bytes)
    parameters.bytes(root.frontier.bytes)
    parameters.bool(byPush)
    _ = try query(
      Statement(
        "SELECT ledger.record_root($1::bigint, $2::bigint, $3::bytea, $4::bytea, $5::boolean)"),
      parameters)
  }

  /// The first entry from this one on that has events, if any up to `last`.
  func firstEntry(from first: Int64, to last: Int64) throws(OpsError) -> Int64? {
    var parameters = Parameters()
    parameters.int8(first)
    parameters.int8(last)
    let rows = try query(
      Statement(
        """
        SELECT e.entry FROM ledger.events AS e
        WHERE e.entry BETWEEN $1::bigint AND $2::bigint ORDER BY e.entry, e.index LIMIT 1
        """), parameters)
    guard rows.count == 1 else { return nil }
    return try onDatabase { () throws(PostgresError) in try rows.int8(0, 0) }
  }

  /// The leaf of the last event up to an entry; nil where the log holds none up to there.
  func lastLeaf(upTo entry: Int64) throws(OpsError) -> Digest? {
    var parameters = Parameters()
    parameters.int8(entry)
    let rows = try query(
      Statement("SELECT max(e.entry) FROM ledger.events AS e WHERE e.entry <= $1::bigint"),
      parameters)
    let last = try onDatabase { () throws(PostgresError) in try rows.int8IfPresent(0, 0) }
    guard let last else { return nil }
    let lines = try LogLines(last...last, on: try connection())
    var leaf: Digest?
    while let next = try lines.nextLeaf() { leaf = next.leaf }
    return leaf
  }
}
