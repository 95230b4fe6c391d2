import Crypto
public import Ledger
public import Log
import Postgres

/// A recorded root: a checkpoint with the root of the tree up to an entry.
struct StoredRoot {
  let entry: Int64
  let frontier: MerkleFrontier
  let root: Digest
}

extension Session {
  /// The number in the first column of a single row; nil for NULL, or without a row.
  func number(_ statement: Statement, _ values: Int64...) throws(OpsError) -> Int64? {
    var parameters = Parameters()
    for value in values { parameters.int8(value) }
    let rows = try query(statement, parameters)
    return try onDatabase { () throws(PostgresError) in
      try rows.count == 1 ? rows.int8IfPresent(0, 0) : nil
    }
  }

  /// The recorded root at exactly this entry; nil if there is none, or its row is damaged (`verify` names that).
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
    // A damaged row counts as none: the log is hashed instead.
    guard let root = root.flatMap({ Digest($0) }),
      let frontier = frontier.flatMap({ MerkleFrontier($0) }),
      frontier.root(TreeHasher()) == root
    else { return nil }
    return StoredRoot(entry: entry, frontier: frontier, root: root)
  }

  /// The entries among these that have a recorded root.
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

  /// Whether a store is known to have entries of this ledger.
  public func wasPushed() throws(OpsError) -> Bool {
    let rows = try query(
      Statement("SELECT EXISTS (SELECT FROM ledger.checkpoints AS c WHERE c.root IS NOT NULL)"))
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }

  /// Records a root, unless the entry has one.
  ///
  /// - Parameter byPush: Whether this database has just pushed its entries up to there.
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

  /// The first entry with events in this range.
  func firstEntry(from first: Int64, to last: Int64) throws(OpsError) -> Int64? {
    try number(
      Statement(
        """
        SELECT e.entry FROM ledger.events AS e
        WHERE e.entry BETWEEN $1::bigint AND $2::bigint ORDER BY e.entry, e.index LIMIT 1
        """), first, last)
  }

  /// The last entry with events up to this one.
  func lastEntry(upTo last: Int64) throws(OpsError) -> Int64? {
    try number(
      Statement("SELECT max(e.entry) FROM ledger.events AS e WHERE e.entry <= $1::bigint"), last)
  }

  /// The leaf of the last event up to an entry; nil if the database has no event up to there.
  func lastLeaf(upTo entry: Int64) throws(OpsError) -> Digest? {
    guard let last = try lastEntry(upTo: entry) else { return nil }
    let lines = try LogLines(last...last, on: try connection())
    var leaf: Digest?
    while let next = try lines.nextLeaf() { leaf = next.leaf }
    return leaf
  }
}

extension MerkleFrontier {
  /// Appends the events that a database has of these entries.
  mutating func append(_ entries: ClosedRange<Int64>, of session: Session) throws(OpsError) {
    let (lines, hasher) = (try LogLines(entries, on: try session.connection()), TreeHasher())
    while let next = try lines.nextLeaf() { append(next.leaf, hasher) }
  }
}
