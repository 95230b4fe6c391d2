import Ledger
import Log
import Replay

extension SnapshotWriter {
  typealias Rows = (RowType, (RowLines) throws(OpsError) -> Void) throws(OpsError) -> Void

  /// Writes a run for each row type, and the run of removed rows.
  ///
  /// - Parameter rows: Hands over the rows of a row type.
  func writeRuns(_ rows: Rows) throws(OpsError) {
    var gone: [(stream: StreamID, rowType: RowType, version: Int32)] = []
    for rowType in RowType.allCases {
      let (table, columns) = StateRows.columns(of: rowType)
      try begin(table, columns: columns)
      try rows(rowType) { (lines) throws(OpsError) in
        for piece in lines.pieces { try write(piece) }
        gone += lines.gone.map { (stream: $0.stream, rowType: rowType, version: $0.version) }
      }
    }
    // If a removed row is inserted again, its version continues.
    try begin(SnapshotIndex.gone, columns: SnapshotIndex.goneColumns)
    for (stream, rowType, version) in gone {
      try write("\(stream)\t\(rowType.rawValue)\t\(version)\n".utf8, of: stream)
    }
  }
}
