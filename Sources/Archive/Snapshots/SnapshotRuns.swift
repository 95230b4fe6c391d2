import Crypto
import Ledger
import Log
import Replay

extension SnapshotWriter {
  typealias Rows = (RowType, (RowLines) throws(OpsError) -> Void) throws(OpsError) -> Void

  /// Writes a run for each noun, and the one of streams whose row is gone.
  ///
  /// - Parameter rows: Hands over the rows of a noun.
  func writeRuns(_ rows: Rows) throws(OpsError) {
    var gone: [GoneStream] = []
    for rowType in RowType.allCases {
      let (table, columns) = StateRows.columns(of: rowType)
      try begin(table, columns: columns)
      try rows(rowType) { (lines) throws(OpsError) in
        for piece in lines.pieces { try write(piece) }
        gone += lines.gone.map {
          GoneStream(stream: $0.stream, version: $0.version, rowType: rowType)
        }
      }
    }
    try begin(SnapshotIndex.gone, columns: SnapshotIndex.goneColumns)
    try GoneStream.write(gone, to: self)
  }
}

/// A stream whose row is gone: a row put in again goes on from its version.
private struct GoneStream {
  let stream: StreamID
  let version: Int32
  let rowType: RowType

  static func write(_ all: [GoneStream], to writer: SnapshotWriter) throws(OpsError) {
    var piece = RowLines.Piece()
    for gone in all {
      piece.text += "\(gone.stream)\t\(gone.rowType.rawValue)\t\(gone.version)\n".utf8
      piece.streams.append(gone.stream)
      guard piece.text.count >= SnapshotWriter.frameTextBytes else { continue }
      try writer.write(piece)
      piece = RowLines.Piece()
    }
    if !piece.streams.isEmpty { try writer.write(piece) }
  }
}

extension Store {
  /// Makes a snapshot of what the segments have, without a database. What its rows are is the fold of their events.
  func makeSnapshot(_ name: SnapshotName) throws(OpsError) -> SnapshotIndex {
    let segments = try segments().segments.filter { $0.name.entries.lowerBound <= name.entry }
    let writer = try SnapshotWriter(files, name, identity: record.identity)
    var (tree, last) = (MerkleFrontier(), Digest.zero)
    let (leaves, hasher) = (LeafHasher(), TreeHasher())
    // All nouns at once where that fits into memory.
    let all = LineFold(slice: 0, of: 1)
    var events = 0
    for segment in segments { events += Int(clamping: try reader(of: segment).index.eventCount) }
    let isSmall = events / 2 <= SnapshotCheck.rowsMax
    try lines(segments, upTo: name.entry) { (event) throws(OpsError) in
      last = try leaves.archivedLeaf(of: event)
      tree.append(last, hasher)
      if isSmall { all.take(event) }
    }
    let slices = max(1, events / 2 / SnapshotCheck.rowsMax)
    try writer.writeRuns { (rowType, body) throws(OpsError) in
      if isSmall {
        return try body(all.rows(of: rowType, pieceBytes: SnapshotWriter.frameTextBytes))
      }
      for slice in 0..<slices {
        let fold = LineFold(slice: slice, of: slices, rowType)
        try lines(segments, upTo: name.entry) { (event) throws(OpsError) in fold.take(event) }
        try body(fold.rows(of: rowType, pieceBytes: SnapshotWriter.frameTextBytes))
      }
    }
    let made = try writer.finish(size: tree.size, root: tree.root(hasher), lastLeaf: last)
    guard made.isNew else {
      throw OpsError(store: .diverged, "\(files.place) has \(name) already")
    }
    return made.index
  }

  private func lines(
    _ segments: [SegmentList.Segment], upTo entry: Int64,
    _ body: (EventLine) throws(OpsError) -> Void
  ) throws(OpsError) {
    for segment in segments {
      try reader(of: segment).lines(of: segment.name.entries.lowerBound...entry) {
        (_, event) throws(OpsError) in try body(event)
      }
    }
  }
}
