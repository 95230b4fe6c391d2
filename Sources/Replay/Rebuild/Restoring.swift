package import Ledger
import Log
package import Postgres

extension Session {
  /// Runs `body`, which puts events of these entries back, in a transaction that makes their request keys, tombstones
  /// and erasures again.
  package func restoring(
    _ entries: ClosedRange<Int64>, _ body: (Connection) throws(OpsError) -> Void
  ) throws(OpsError) {
    try asRepairRole { (connection) throws(OpsError) in
      try body(connection)
      try Bookkeeping.make(entries, on: connection)
    }
  }

  /// Counts what was put back in the seals that were made without it. One that counts more than there is stays: it says
  /// that an event is missing still.
  ///
  /// - Parameter acceptingLoss: Where that was said and is recorded: then none stays.
  package func recountSeals(acceptingLoss: Bool) throws(OpsError) {
    let wrong = try Verifier.sealFaults(LogReader(target, on: try connection()))
      .filter { acceptingLoss || $0.found > $0.expected }
    if wrong.isEmpty { return }
    try asRepairRole { (connection) throws(OpsError) in
      try Bookkeeping.recount(wrong, on: connection)
    }
  }
}
