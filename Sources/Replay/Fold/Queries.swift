import Ledger
import Log
import Postgres

extension LogReader {
  func query(
    _ statement: Statement, _ parameters: Parameters = Parameters()
  ) throws(OpsError) -> Rows {
    try onDatabase { () throws(PostgresError) in try connection.query(statement, parameters) }
  }

  /// How many streams have events among these entries, archived entries left out.
  func streamCount(_ entries: ClosedRange<Int64>) throws(OpsError) -> Int {
    let rows = try query(
      Statement(
        """
        SELECT count(DISTINCT e.stream) FROM ledger.events AS e
        WHERE e.entry BETWEEN $1::bigint AND $2::bigint
        """), Parameters(entries))
    return Int(try onDatabase { () throws(PostgresError) in try rows.int8(0, 0) })
  }

  /// Slices with all streams that have events among these entries. Memory holds each row of a slice as of both ends.
  ///
  /// - Parameter rows: About how many rows the log folds to.
  func slices(
    changedIn entries: ClosedRange<Int64>, rows: Int, rowsMax: Int = Slice.rowsMax,
    countMin: Int = Slice.workers
  ) throws(OpsError) -> [Slice] {
    func sliceCount(_ rows: Int) -> Int {
      Slice.count(rows: 2 * rows, rowsMax: rowsMax, countMin: countMin)
    }
    // The database does not know the streams of archived entries, so all streams are folded.
    guard archivedLast < entries.lowerBound else { return try slices(sliceCount(rows)) }
    let count = sliceCount(try streamCount(entries))
    return (0..<count).map { .changed(in: entries, remainder: $0, of: count) }
  }
}
