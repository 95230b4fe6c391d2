public import Ledger
import Postgres

extension Session {
  /// The ledger's own row.
  ///
  /// - Throws: `OPS_014` where the schema was laid and nobody has run `init`.
  public func ledgerRecord() throws(OpsError) -> LedgerRecord {
    let rows = try query(
      Statement("SELECT \(LedgerRecord.select("l")) FROM ledger.ledger AS l WHERE l.key = 'main'"))
    guard rows.count == 1 else {
      throw OpsError(
        .schemaMismatch, "the schema is laid, and the ledger is not begun",
        hint: "begin it with `opsledger init`")
    }
    return try rows.row(0, of: LedgerRecord.self)
  }
}
