public import Ledger
import Postgres

extension Session {
  /// The ledger's own row.
  ///
  /// - Throws: `OPS_016` where the log has it and the table not; `OPS_014` where the schema was laid and nobody has
  ///   run `init`; `OPS_015` where a restore was cut short.
  public func ledgerRecord() throws(OpsError) -> LedgerRecord {
    let rows = try query(
      Statement("SELECT \(LedgerRecord.select("l")) FROM ledger.ledger AS l WHERE l.key = 'main'"))
    if rows.count == 1 { return try rows.row(0, of: LedgerRecord.self) }
    try requireLedger()
    throw OpsError(
      .inconsistentRow, "the ledger's own row is missing, and the log has it",
      hint: "`opsledger rebuild` writes it again")
  }

  /// Whether anything tells of a ledger, beside what the log has of its beginning: then that is lost.
  static let hasTraces = Statement(
    """
    SELECT EXISTS (SELECT FROM ledger.ledger) OR EXISTS (SELECT FROM ledger.idempotency_keys) OR ledger.sealed() > 0
      OR EXISTS (SELECT FROM ledger.events)
    """)

  /// Why a database whose schema is laid holds no ledger.
  func noLedger() throws(OpsError) -> OpsError {
    if try instanceState() == .stale {
      return OpsError(
        store: .diverged, "a restore of this database was cut short",
        hint: "begin `opsledger restore` again; until its end nothing is recorded here")
    }
    let rows = try query(Self.hasTraces)
    if try onDatabase({ () throws(PostgresError) in try rows.bool(0, 0) }) { return .beginningLost }
    return OpsError(
      .schemaMismatch, "the schema is laid, and the ledger is not begun",
      hint: "begin it with `opsledger init`")
  }
}

extension OpsError {
  /// The tables have a ledger, of which the log knows nothing.
  static let beginningLost = OpsError(
    store: .diverged, "the log lacks the entries that it began with",
    hint: "`opsledger restore` puts them back from the store; nothing is recorded here before")
}
