package import Ledger
package import Postgres

/// The archived part of the log, and the store that has it.
package struct ArchivedPart {
  /// The last archived entry.
  package let last: Int64
  private let file: String
  package let root: [UInt8]
  private let archivedLog: (any ArchivedLog)?

  static let question = Statement(
    """
    SELECT d.last, d.segment, d.root FROM ledger.confirmed_archived_partitions() AS d ORDER BY d.last DESC LIMIT 1
    """)

  /// Nil if no part of the log is archived.
  package init?(_ target: Session.Target, on connection: Connection) throws(OpsError) {
    let rows = try onDatabase { () throws(PostgresError) in try connection.query(Self.question) }
    try self.init(target, rows)
  }

  /// - Parameter rows: The answer to ``question``.
  init?(_ target: Session.Target, _ rows: Rows) throws(OpsError) {
    guard rows.count == 1 else { return nil }
    (last, file, root) = try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), try rows.text(0, 1), try rows.bytea(0, 2))
    }
    archivedLog = target.archivedLog
  }

  /// The archived ones of these entries.
  package func part(of entries: ClosedRange<Int64>) -> ClosedRange<Int64>? {
    entries.lowerBound > last ? nil : entries.lowerBound...min(last, entries.upperBound)
  }

  /// Calls `body` with the archived ones of the wanted events, in the order of the log.
  package func events(_ wanted: ArchivedQuery, _ body: (EventLine) throws(OpsError) -> Void)
    throws(OpsError)
  {
    guard let range = part(of: wanted.entries) else { return }
    var wanted = wanted
    wanted.entries = range
    try log().events(wanted) { (event) throws(OpsError) in
      try body(event)
      return true
    }
  }

  /// The store's part of the log.
  ///
  /// - Throws: `OPS_001` if no store is available, `OPS_015` if the store has another history.
  func log() throws(OpsError) -> any ArchivedLog {
    guard let archivedLog else {
      throw OpsError(
        .databaseUnreachable,
        "entries up to \(last) are archived: they are not in the database but in the store, the last in \(file)",
        hint: "name the store: --store DIR, or OPS_STORE",
        facts: ["last_entry": String(last), "file": file])
    }
    try archivedLog.require(root: root, at: last)
    return archivedLog
  }
}
