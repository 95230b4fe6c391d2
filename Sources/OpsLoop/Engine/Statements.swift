import Ledger
import Log
import Postgres

extension Parameters {
  /// Parameters that a closure appends in order.
  init(_ append: (inout Parameters) -> Void) {
    self.init()
    append(&self)
  }
}

extension Statement {
  /// Allocates an entry, or returns no row where a condition does not hold.
  static func allocating(if condition: String) -> Statement {
    Statement("SELECT entry, recorded_at FROM ledger.allocate_entry() WHERE \(condition)")
  }

  /// Locks and reads the rows of streams, in the order of their ids as everywhere.
  static func locking<R: Row>(_ rowType: R.Type, waiting: String = "") -> Statement {
    Statement(
      """
      SELECT \(R.select("t")) FROM \(R.relation) AS t WHERE \(R.streamSQL) = ANY ($1::uuid[])
      ORDER BY 1 FOR NO KEY UPDATE \(waiting)
      """)
  }
}

extension Command {
  /// A command that decides over a batch, and starts the decision again without each row that fails it.
  init(
    _ batch: Batch, _ reads: Reads, allocation: Allocation<Answer> = .always,
    decide: @escaping (Found, inout Draft) throws(OpsError) -> Answer
  ) {
    self.init(reads, allocation: allocation) { (found, draft) throws(OpsError) in
      try batch.decide(&draft) { (draft) throws(OpsError) in try decide(found, &draft) }
    }
    lockWait = batch.lockWait
  }
}

extension Reads {
  mutating func add(_ read: (Statement, Parameters)) -> Read<Rows> { add(read.0, read.1) }

  /// A read of the id in the first column of the first row.
  mutating func firstID(_ statement: Statement, _ parameters: Parameters) -> Read<StreamID?> {
    add(statement, parameters) { (rows) throws(OpsError) in try rows.ids().first }
  }

  /// A read of the last versions of rows that were removed or archived.
  mutating func tombstones(_ streams: some Sequence<StreamID>) -> Read<[StreamID: Int32]> {
    add(Self.tombstones, Parameters(streams)) { (rows) throws(OpsError) in
      try rows.dictionary { (row) throws(PostgresError) in
        (StreamID(try rows.uuid(row, 0)), try rows.int4(row, 1))
      }
    }
  }

  private static let tombstones = Statement(
    "SELECT t.stream, t.version FROM ledger.tombstones AS t WHERE t.stream = ANY ($1::uuid[])")
}

extension Rows {
  /// The results of `read` that are not nil.
  func compactMap<Value>(_ read: (Int) throws(PostgresError) -> Value?) throws(OpsError) -> [Value]
  {
    try map(read).compactMap(\.self)
  }

  /// The key and value that `read` returns for each row; the last row of a key counts.
  func dictionary<Key, Value>(
    _ read: (Int) throws(PostgresError) -> (Key, Value)?
  ) throws(OpsError) -> [Key: Value] {
    Dictionary(try compactMap(read)) { $1 }
  }
}
