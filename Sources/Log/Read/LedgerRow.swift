public import Ledger
import Postgres

extension Session {
  /// The ledger's own row.
  ///
  /// - Throws: `OPS_014` where the schema was laid and nobody has run `init`; `OPS_015` where a restore was cut short.
  public func ledgerRecord() throws(OpsError) -> LedgerRecord {
    let rows = try query(
      Statement("SELECT \(LedgerRecord.select("l")) FROM ledger.ledger AS l WHERE l.key = 'main'"))
    guard rows.count == 1 else { throw try noLedger() }
    return try rows.row(0, of: LedgerRecord.self)
  }

  /// Why a database whose schema is laid holds no ledger.
  func noLedger() throws(OpsError) -> OpsError {
    if try home() == .behind {
      return OpsError(
        .storeDiverged, "a restore of this database was cut short",
        hint: "begin `opsledger restore` again; until its end nothing is recorded here")
    }
    return OpsError(
      .schemaMismatch, "the schema is laid, and the ledger is not begun",
      hint: "begin it with `opsledger init`")
  }
}
