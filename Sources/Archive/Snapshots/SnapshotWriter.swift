public import Crypto
import LZ4
public import Ledger
import Log
public import Replay

/// Writes a snapshot in one pass, run by run, with a few frames in memory. The file gets its name at the end.
public final class SnapshotWriter {
  /// The length of a frame's text. Readers read whole tables, so frames are larger than those of a segment.
  static let frameTextBytes = 1 << 20

  private let name: SnapshotName
  private let identity: StreamID
  private let file: FramedWriter
  private var work: InOrder<Frame>
  /// Lines of the next frame.
  private var piece = RowLines.Piece()
  /// The columns of each run, and its lines.
  private var runs: [(name: String, columns: [String], lines: UInt64)] = []

  /// A frame, without its offset.
  private struct Frame: Sendable {
    var record: FrameRecord
    let bytes: [UInt8]
    /// The hashes of its streams, for the map.
    let streams: [UInt64]
  }

  public init(
    _ store: any ObjectStore, _ name: SnapshotName, identity: StreamID
  ) throws(OpsError) {
    self.name = name
    self.identity = identity
    let file = FramedWriter(try store.make(name.path))
    self.file = file
    work = InOrder { damage, _ in
      Self.notWritten(name, damage.what)
    } take: { (frame) throws(OpsError) in
      try file.add(frame.record, frame.bytes, streams: frame.streams)
    }
  }

  private static func notWritten(_ name: SnapshotName, _ what: String) -> OpsError {
    OpsError(.inconsistentRow, "\(name) was not written: \(what)", hint: "run `opsledger verify`")
  }

  public func begin(_ run: String, columns: [String]) throws(OpsError) {
    try cut()
    try work.finish()
    try file.write(SnapshotIndex.header(run, columns))
    runs.append((run, columns, 0))
  }

  /// Adds a line with its newline to the run.
  func write(_ line: some Sequence<UInt8>, of stream: StreamID) throws(OpsError) {
    piece.text += line
    piece.streams.append(stream)
    if piece.text.count >= Self.frameTextBytes { try cut() }
  }

  /// Ends a frame.
  private func cut() throws(OpsError) {
    guard !piece.streams.isEmpty else { return }
    try write(piece)
    piece = RowLines.Piece()
  }

  /// Adds a frame to the run: whole lines, and the stream of each.
  public func write(_ piece: RowLines.Piece) throws(OpsError) {
    precondition(!runs.isEmpty, "begin a run first")
    guard piece.text.count <= Int(FramedIndex.textBytesMax) else {
      throw Self.notWritten(name, "it has a row of \(piece.text.count) bytes")
    }
    runs[runs.count - 1].lines += UInt64(piece.streams.count)
    let (run, entry) = (UInt32(truncatingIfNeeded: runs.count - 1), name.entry)
    try work.add { () throws(Damage) in
      let bytes = FrameEncoder().encode(piece.text)
      let record = FrameRecord(
        offset: 0, bytes: UInt32(bytes.count), textBytes: UInt32(piece.text.count),
        lines: UInt32(piece.streams.count), run: run, sha256: SHA256.hash(piece.text),
        // Rows have no entries and times of their own.
        entries: entry...entry, times: Instant(micros: 0)...Instant(micros: 0))
      return Frame(
        record: record, bytes: bytes, streams: Set(piece.streams).map(StreamMap.hash))
    }
  }

  /// Ends the snapshot and gives it its name.
  ///
  /// - Parameters:
  ///   - size: The number of events up to the entry.
  ///   - root: The root of the tree over them.
  ///   - lastLeaf: The leaf of the last of them; all zeros if there is none.
  /// - Returns: The index; and false if the store has a file of that name already, which stays.
  public func finish(
    size: UInt64, root: Digest, lastLeaf: Digest
  ) throws(OpsError) -> (index: SnapshotIndex, isNew: Bool) {
    try cut()
    try work.finish()
    let end = file.offset
    let map = try file.finishMap()
    var index = SnapshotIndex(
      name: name, identity: identity, size: size, root: root, lastLeaf: lastLeaf,
      runs: runs.map { name, columns, lines in
        .init(name: name, columns: columns, lines: lines, frames: 0..<0, bytes: 0..<0)
      }, frames: file.frames, map: map)
    let framed = index.framed
    do throws(Damage) {
      index = try SnapshotIndex(framed, of: name, upTo: end)
    } catch { throw Self.notWritten(name, error.what) }
    return (index, try file.publish(framed))
  }
}
