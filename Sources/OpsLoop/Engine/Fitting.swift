import Ledger
import Log
import Postgres

/// A batch has no more rows than memory holds: people put rows of up to 64 MiB into the tables.
enum Fitting {
  fileprivate static let bytesMax = 16 << 20

  /// Of rows those that take so many bytes together, and always one.
  ///
  /// - Parameter locked: A query, in the batch's order, with a column `bytes` beside the noun's.
  /// - Returns: What stands in FROM; of its columns `taken` says how many bytes there were up to that row.
  static func rows(_ locked: String) -> String {
    """
    (SELECT * FROM (SELECT locked.*, sum(locked.bytes) OVER (ROWS UNBOUNDED PRECEDING) AS taken
      FROM (\(locked)) AS locked) AS fitting WHERE taken - bytes < \(bytesMax))
    """
  }
}

extension Batch {
  /// Notes whether rows may have been left to the next batch.
  ///
  /// - Parameter taken: The column that ``Fitting/rows(_:)`` has added.
  func noteFitting(_ rows: Rows, taken column: Int) throws(OpsError) {
    guard rows.count > 0 else { return }
    let taken = try onRow { () throws(PostgresError) in try rows.float8(rows.count - 1, column) }
    if taken >= Double(Fitting.bytesMax) { hasLeftSome = true }
  }
}
