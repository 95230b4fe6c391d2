public import Ledger
import Postgres

extension Session {
  /// The ledger's own row.
  ///
  /// - Throws: `OPS_016` if the log has it and the table has not; `OPS_014` if the schema is applied but no ledger is
  ///   begun; `OPS_015` if a restore was interrupted.
  public func ledgerRecord() throws(OpsError) -> LedgerRecord {
    let rows = try query(
      Statement("SELECT \(LedgerRecord.select("l")) FROM ledger.ledger AS l WHERE l.key = 'main'"))
    if rows.count == 1 { return try rows.row(0, of: LedgerRecord.self) }
    try requireLedger()
    throw OpsError(
      .inconsistentRow, "table ledger.ledger lacks the ledger's row, which the log has",
      hint: "`opsledger rebuild` writes it again")
  }

  /// Whether the database has traces of a ledger. If the log has not its first entries, those are lost.
  static let hasTraces = Statement(
    """
    SELECT EXISTS (SELECT FROM ledger.ledger) OR EXISTS (SELECT FROM ledger.idempotency_keys) OR ledger.sealed() > 0
      OR EXISTS (SELECT FROM ledger.events)
    """)

  /// Why a database with the schema has no ledger.
  func noLedger() throws(OpsError) -> OpsError {
    if try instanceState() == .stale {
      return OpsError(
        store: .diverged, "a restore of this database was interrupted",
        hint: "run `opsledger restore` again; until it has ended nothing is recorded here")
    }
    if try boolean(Self.hasTraces) { return .beginningLost }
    return OpsError(
      .schemaMismatch, "the database has the schema, but no ledger",
      hint: "begin it with `opsledger init`")
  }
}

extension OpsError {
  /// The tables have a ledger, but the log lacks its beginning.
  static let beginningLost = OpsError(
    store: .diverged, "the log lacks its first entries",
    hint: "`opsledger restore` brings them back from the store; until then nothing is recorded here"
  )
}
