package import Ledger
package import Postgres

/// What of the log has left the database, and who has it.
package struct ArchivedPart {
  /// The last entry number that has.
  package let last: Int64
  private let file: String
  package let root: [UInt8]
  private let archivedLog: (any ArchivedLog)?

  static let question = Statement(
    """
    SELECT d.last, d.segment, d.root FROM ledger.confirmed_archived_partitions() AS d ORDER BY d.last DESC LIMIT 1
    """)

  /// Nil where nothing has.
  package init?(_ target: Session.Target, on connection: Connection) throws(OpsError) {
    let rows = try onDatabase { () throws(PostgresError) in try connection.query(Self.question) }
    try self.init(target, rows)
  }

  /// - Parameter rows: What ``question`` was answered.
  init?(_ target: Session.Target, _ rows: Rows) throws(OpsError) {
    guard rows.count == 1 else { return nil }
    (last, file, root) = try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), try rows.text(0, 1), try rows.bytea(0, 2))
    }
    archivedLog = target.archivedLog
  }

  /// Those of these entries that have left.
  package func part(of entries: ClosedRange<Int64>) -> ClosedRange<Int64>? {
    entries.lowerBound > last ? nil : entries.lowerBound...min(last, entries.upperBound)
  }

  /// What they can be read from.
  ///
  /// - Throws: `OPS_001` where no store is at hand, `OPS_015` where it is not this history's.
  package func log() throws(OpsError) -> any ArchivedLog {
    guard let archivedLog else {
      throw OpsError(
        .databaseUnreachable,
        "entries up to \(last) have left the database: they lie in the store, the last of them in \(file)",
        hint: "name the store: --store DIR, or OPS_STORE",
        facts: ["last_entry": String(last), "file": file])
    }
    try archivedLog.require(root: root, at: last)
    return archivedLog
  }
}
