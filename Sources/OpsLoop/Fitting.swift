import Ledger
import Log
import Postgres

/// A batch has no more rows than memory holds: people put rows of up to 64 MiB into the tables.
enum Fitting {
  private static let bytesMax = 16 << 20

  /// Of rows those that take so many bytes together, and always one.
  ///
  /// - Parameter locked: A query, in the batch's order, with a column `bytes` beside the noun's.
  /// - Returns: What stands in FROM; of its columns `found` says how many rows there were.
  static func rows(_ locked: String) -> String {
    """
    (SELECT * FROM (SELECT locked.*, count(*) OVER () AS found,
        sum(locked.bytes) OVER (ROWS UNBOUNDED PRECEDING) - locked.bytes AS before
      FROM (\(locked)) AS locked) AS fitting WHERE before < \(bytesMax))
    """
  }
}

extension Batch {
  /// Notes whether rows were left to the next batch.
  ///
  /// - Parameter found: The column that ``Fitting/rows(_:)`` has added.
  func noteFitting(_ rows: Rows, found column: Int) throws(OpsError) {
    guard rows.count > 0 else { return }
    let found = try onRow { () throws(PostgresError) in try rows.int8(0, column) }
    if found > rows.count { hasLeftSome = true }
  }
}
