import Ledger
import Postgres

/// The log as one moment of the database sees it: what it holds, and before that what has left it.
struct LogReader {
  let connection: Connection
  let departed: Departed?

  /// - Parameter connection: In a transaction that holds the log's partitions by a lock.
  init(_ target: Session.Target, on connection: Connection) throws(OpsError) {
    self.connection = connection
    departed = try Departed(target, on: connection)
  }

  /// Entries that left the database end with this one; 0 where none did.
  var coldLast: Int64 { departed?.last ?? 0 }

  /// Hands over the events of these entries that have left the database.
  func cold(
    _ entries: ClosedRange<Int64>?,
    _ streams: @autoclosure () throws(OpsError) -> ColdQuery.Streams,
    _ body: (EventLine) throws(OpsError) -> Void
  ) throws(OpsError) {
    guard let departed, let range = departed.part(of: entries ?? 0...Int64.max) else { return }
    let log = try departed.log()
    try log.events(ColdQuery(range, try streams())) { (event) throws(OpsError) in
      try body(event)
      return true
    }
  }
}

/// What of the log has left the database, and who has it.
struct Departed {
  /// The last entry number that has.
  let last: Int64
  private let file: String
  private let root: [UInt8]
  private let coldLog: (any ColdLog)?

  static let question = Statement(
    """
    SELECT d.last, d.segment, d.root FROM ledger.departed AS d ORDER BY d.last DESC LIMIT 1
    """)

  /// Nil where nothing has.
  init?(_ target: Session.Target, on connection: Connection) throws(OpsError) {
    let rows = try onDatabase { () throws(PostgresError) in try connection.query(Self.question) }
    try self.init(target, rows)
  }

  /// - Parameter rows: What ``question`` was answered.
  init?(_ target: Session.Target, _ rows: Rows) throws(OpsError) {
    guard rows.count == 1 else { return nil }
    (last, file, root) = try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), try rows.text(0, 1), try rows.bytea(0, 2))
    }
    coldLog = target.coldLog
  }

  /// Those of these entries that have left.
  func part(of entries: ClosedRange<Int64>) -> ClosedRange<Int64>? {
    entries.lowerBound > last ? nil : entries.lowerBound...min(last, entries.upperBound)
  }

  /// What they can be read from.
  ///
  /// - Throws: `OPS_001` where no store is at hand, `OPS_015` where it is not this history's.
  func log() throws(OpsError) -> any ColdLog {
    guard let coldLog else {
      throw OpsError(
        .databaseUnreachable,
        "entries up to \(last) have left the database: they lie in the store, the last of them in \(file)",
        hint: "name the store: --store DIR, or OPS_STORE",
        facts: ["last_entry": String(last), "file": file])
    }
    try coldLog.require(root: root, at: last)
    return coldLog
  }
}
