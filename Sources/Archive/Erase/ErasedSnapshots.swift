import Ledger
import Log
import Replay

extension Store {
  /// Writes again each snapshot that holds erased content, with the rows that the log of `target` gives now.
  ///
  /// - Returns: The new snapshots.
  func erase(
    _ erasures: Erasures, from list: SnapshotList, _ target: Session.Target
  ) throws(OpsError) -> [SnapshotName] {
    for name in list.superseded { try files.remove(name.path) }
    var made: [SnapshotName] = []
    for snapshot in list.snapshots {
      guard let rewriting = try rewriting(snapshot, erasures, target) else { continue }
      var name = snapshot.name
      if try rewriting.isDue() {
        name = try rewriting.write()
        made.append(name)
      }
      CleanFiles.note(name.path, erasures, files.place)
    }
    return made
  }

  /// Whether a snapshot still holds erased content: no push has reached its store since the erasure.
  func holdsErased(
    _ snapshot: SnapshotList.Snapshot, _ erasures: Erasures, _ target: Session.Target
  ) throws(OpsError) -> Bool {
    try rewriting(snapshot, erasures, target)?.isDue() ?? false
  }

  /// Nil for a snapshot that cannot hold erased content.
  private func rewriting(
    _ snapshot: SnapshotList.Snapshot, _ erasures: Erasures, _ target: Session.Target
  ) throws(OpsError) -> SnapshotRewriting? {
    let streams = erasures.streams(after: snapshot.name.entry)
    guard !streams.isEmpty, !CleanFiles.know(snapshot.name.path, erasures, files.place) else {
      return nil
    }
    let rows = try ErasedRows(streams, at: snapshot.name.entry, target)
    return SnapshotRewriting(
      store: self, name: snapshot.name, rows: rows, reader: try reader(of: snapshot))
  }
}

/// The rows of some streams as of an entry, as lines.
private struct ErasedRows {
  let streams: Set<StreamID>
  private let lines: [StreamID: [UInt8]]

  init(_ streams: [StreamID], at entry: Int64, _ target: Session.Target) throws(OpsError) {
    self.streams = Set(streams)
    let rows = try StateRows(target, at: entry)
    defer { rows.end() }
    var lines: [StreamID: [UInt8]] = [:]
    for rowType in RowType.allCases {
      try rows.each(of: rowType, among: streams, pieceBytes: SnapshotWriter.frameTextBytes) {
        (made) throws(OpsError) in
        for piece in made.pieces {
          var streams = piece.streams[...]
          piece.text.withUnsafeBytes { text in
            SegmentFrameMaker.eachLine(of: text) { lines[streams.removeFirst()] = Array($0) }
          }
        }
      }
    }
    self.lines = lines
  }

  /// The line to write in place of a line of the snapshot; nil if that line stays.
  func line(_ stream: StreamID, inPlaceOf line: UnsafeRawBufferPointer) -> [UInt8]? {
    guard let new = lines[stream], !new.elementsEqual(line) else { return nil }
    return new
  }
}

private struct SnapshotRewriting {
  let store: Store
  let name: SnapshotName
  let rows: ErasedRows
  let reader: SnapshotReader

  /// The row type of a run; nil for the run of removed rows.
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
      try reader.lines(of: run) { (line) throws(OpsError) in
        let stream = try stream(of: line, rowType)
        let new = rowType == nil ? nil : rows.line(stream, inPlaceOf: line)
        try writer.write(new ?? Array(line), of: stream)
      }
    }
    let old = reader.index
    let made = try writer.finish(size: old.size, root: old.root, lastLeaf: old.lastLeaf)
    guard made.isNew, let file = try store.files.file(next.path) else {
      throw .notReplaced("\(name)", by: "\(next)", in: store.files.place)
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
    else { throw reader.damage("it has an unreadable line of a removed row") }
    return id
  }
}
