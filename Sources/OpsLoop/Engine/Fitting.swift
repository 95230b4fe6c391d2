import Ledger
import Log
import Postgres

/// Limits the bytes of a batch, since people put rows of up to 64 MiB into the tables.
enum Fitting {
  fileprivate static let bytesMax = 16 << 20

  /// SQL for the first rows of a query that have 16 MiB together, and at least for its first row.
  ///
  /// - Parameter locked: A query in the batch's order, whose columns are those of the row type and `bytes`.
  /// - Returns: An item of FROM. Its column `taken` has the bytes up to each row.
  static func rows(_ locked: String) -> String {
    """
    (SELECT * FROM (SELECT locked.*, sum(locked.bytes) OVER (ROWS UNBOUNDED PRECEDING) AS taken
      FROM (\(locked)) AS locked) AS fitting WHERE taken - bytes < \(bytesMax))
    """
  }
}

extension Batch {
  /// Notes whether rows may be left to the next batch.
  ///
  /// - Parameter taken: The column that ``Fitting/rows(_:)`` adds.
  func noteFitting(_ rows: Rows, taken column: Int) throws(OpsError) {
    guard rows.count > 0 else { return }
    let taken = try onDatabase { () throws(PostgresError) in try rows.float8(rows.count - 1, column)
    }
    if taken >= Double(Fitting.bytesMax) { hasLeftSome = true }
  }
}
