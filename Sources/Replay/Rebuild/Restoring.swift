package import Ledger
import Log
package import Postgres

extension Session {
  /// Runs `body`, which writes events of these entries, in a transaction that also makes their idempotency keys,
  /// tombstones and erasures.
  package func restoring(
    _ entries: ClosedRange<Int64>, _ body: (Connection) throws(OpsError) -> Void
  ) throws(OpsError) {
    try asRepairRole { (connection) throws(OpsError) in
      try body(connection)
      try Bookkeeping.make(entries, on: connection)
    }
  }

  /// Corrects the counts of seals that were made without the restored events. A seal that counts more events than there
  /// are is left as it is: it shows that an event is still missing.
  ///
  /// - Parameter acceptingLoss: Whether the loss is accepted and recorded. Then every count is corrected.
  package func recountSeals(acceptingLoss: Bool) throws(OpsError) {
    let wrong = try Verifier.sealFaults(LogReader(target, on: try connection()))
      .filter { acceptingLoss || $0.found > $0.expected }
    if wrong.isEmpty { return }
    try asRepairRole { (connection) throws(OpsError) in
      try Bookkeeping.recount(wrong, on: connection)
    }
  }
}
