import Crypto
import Ledger
import Log
import Replay

extension Store {
  /// Writes the snapshots again that hold what was erased: the rows of those streams as the log gives them now.
  ///
  /// - Parameter target: The database whose log that is.
  /// - Returns: The snapshots that were made.
  func erase(
    _ erasures: Erasures, from list: SnapshotList, _ target: Session.Target
  ) throws(OpsError) -> [SnapshotName] {
    for name in list.superseded { try files.remove(name.path) }
    var made: [SnapshotName] = []
    for snapshot in list.snapshots {
      let streams = erasures.streams(after: snapshot.name.entry)
      guard !streams.isEmpty, !CleanFiles.know(snapshot.name.path, erasures, files.place) else {
        continue
      }
      var name = snapshot.name
      let rewriting = try SnapshotRewriting(
        self, snapshot, ErasedRows(streams, at: name.entry, target))
      if try rewriting.isDue() {
        name = try rewriting.write()
        made.append(name)
      }
      CleanFiles.note(name.path, erasures, files.place)
    }
    return made
  }
}

extension Store {
  /// Whether a snapshot still has what was erased: one of a store that no push has met since.
  func holdsErased(
    _ snapshot: SnapshotList.Snapshot, _ erasures: Erasures, _ target: Session.Target
  ) throws(OpsError) -> Bool {
    let streams = erasures.streams(after: snapshot.name.entry)
    guard !streams.isEmpty, !CleanFiles.know(snapshot.name.path, erasures, files.place) else {
      return false
    }
    let rows = try ErasedRows(streams, at: snapshot.name.entry, target)
    return try SnapshotRewriting(self, snapshot, rows).isDue()
  }
}

/// The rows of some streams as of an entry, as lines.
private struct ErasedRows {
  let streams: Set<StreamID>
  private var lines: [StreamID: [UInt8]] = [:]

  init(_ streams: [StreamID], at entry: Int64, _ target: Session.Target) throws(OpsError) {
    self.streams = Set(streams)
    let rows = try StateRows(target, at: entry)
    defer { rows.end() }
    for rowType in RowType.allCases {
      var found: [StreamID: [UInt8]] = [:]
      try rows.each(of: rowType, among: streams, pieceBytes: SnapshotWriter.frameTextBytes) {
        (made) throws(OpsError) in
        for piece in made.pieces {
          var next = 0
          piece.text.withUnsafeBytes { text in
            SegmentFrameMaker.eachLine(of: text) { line in
              found[piece.streams[next]] = Array(line)
              next += 1
            }
          }
        }
      }
      lines.merge(found) { $1 }
    }
  }

  /// The line in place of another; nil where that stays.
  func line(_ stream: StreamID, inPlaceOf line: UnsafeRawBufferPointer) -> [UInt8]? {
    guard let new = lines[stream], !new.elementsEqual(line) else { return nil }
    return new
  }
}

private struct SnapshotRewriting {
  private let store: Store
  private let name: SnapshotName
  private let rows: ErasedRows
  private let reader: SnapshotReader

  init(
    _ store: Store, _ snapshot: SnapshotList.Snapshot, _ rows: ErasedRows
  ) throws(OpsError) {
    self.store = store
    self.rows = rows
    name = snapshot.name
    reader = try store.reader(of: snapshot)
  }

  /// The nouns whose rows a run has; nil of the one that has none.
  private func rowType(of run: SnapshotIndex.Run) -> RowType? {
    RowType.allCases.first { StateRows.columns(of: $0).table == run.name }
  }

  func isDue() throws(OpsError) -> Bool {
    var isDue = false
    for run in reader.index.runs {
      guard let rowType = rowType(of: run) else { continue }
      try reader.lines(of: run, among: rows.streams) { (line) throws(OpsError) in
        if rows.line(try StateRows.stream(of: line, rowType), inPlaceOf: line) != nil {
          isDue = true
        }
      }
    }
    return isDue
  }

  func write() throws(OpsError) -> SnapshotName {
    try reader.verify()
    let next = SnapshotName(
      name.entry,
      generation: try SegmentName.generation(
        after: name.generation, of: name.path, in: store.files.place))
    let writer = try SnapshotWriter(store.files, next, identity: store.record.identity)
    for run in reader.index.runs {
      try writer.begin(run.name, columns: run.columns)
      let rowType = rowType(of: run)
      var piece = RowLines.Piece()
      try reader.lines(of: run) { (line) throws(OpsError) in
        let stream = try stream(of: line, rowType)
        let new = rowType == nil ? nil : rows.line(stream, inPlaceOf: line)
        piece.text += new ?? Array(line)
        piece.streams.append(stream)
        guard piece.text.count >= SnapshotWriter.frameTextBytes else { return }
        try writer.write(piece)
        piece = RowLines.Piece()
      }
      if !piece.streams.isEmpty { try writer.write(piece) }
    }
    let old = reader.index
    let made = try writer.finish(size: old.size, root: old.root, lastLeaf: old.lastLeaf)
    guard made.isNew,
      let file = try store.files.list(next.path).first(where: { $0.name == next.path })
    else {
      throw OpsError(
        store: .diverged,
        "\(next) could not be written to \(store.files.place) in place of \(name)",
        hint: "see `opsledger archive verify`")
    }
    try SnapshotReader(store.files, file).verify()
    try store.files.remove(name.path)
    return next
  }

  private func stream(
    of line: UnsafeRawBufferPointer, _ rowType: RowType?
  ) throws(OpsError) -> StreamID {
    if let rowType { return try StateRows.stream(of: line, rowType) }
    guard line.count >= 36, let id = StreamID(utf8: UnsafeRawBufferPointer(rebasing: line[..<36]))
    else { throw reader.damage("it has a line of a gone row that cannot be read") }
    return id
  }
}
