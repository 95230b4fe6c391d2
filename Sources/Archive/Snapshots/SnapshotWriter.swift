public import Crypto
import LZ4
public import Ledger
import Log
public import Replay

/// Writes a snapshot: takes the rows run by run, and gives the file its name when all of it is there. One pass, and
/// a few frames of memory.
public final class SnapshotWriter {
  /// How much text a frame has: whole tables are read, not single rows.
  static let frameTextBytes = 1 << 20

  private let name: SnapshotName
  private let identity: StreamID
  private let progress: Progress
  private var work: InOrder<Frame>
  /// The columns of each run, and its lines.
  private var runs: [(name: String, columns: [String], lines: UInt64)] = []

  /// A frame and what the index will know of it, but for where it lies.
  private struct Frame: Sendable {
    var record: FrameRecord
    let bytes: [UInt8]
    /// The hashes of its streams, for the map.
    let streams: [UInt64]
  }

  /// What is written so far.
  private final class Progress {
    let file: any FileInTheMaking
    let hasher = SHA256()
    var offset: UInt64 = 0
    var frames: [FrameRecord] = []
    var map = StreamMap.Builder()

    init(_ file: any FileInTheMaking) { self.file = file }

    func take(_ frame: Frame) throws(OpsError) {
      var record = frame.record
      record.offset = offset
      frames.append(record)
      map.add(frame.streams)
      try write(frame.bytes)
    }

    func write(_ bytes: [UInt8]) throws(OpsError) {
      hasher.update(bytes)
      offset += UInt64(bytes.count)
      try file.write(bytes)
    }
  }

  public init(
    _ store: any ObjectStore, _ name: SnapshotName, identity: StreamID
  ) throws(OpsError) {
    self.name = name
    self.identity = identity
    let progress = Progress(try store.make(name.path))
    self.progress = progress
    work = InOrder { damage, _ in
      OpsError(.inconsistentRow, "the rows are not archived: \(damage.what)")
    } take: { (frame) throws(OpsError) in
      try progress.take(frame)
    }
  }

  /// Begins the next run.
  public func begin(_ run: String, columns: [String]) throws(OpsError) {
    try work.finish()
    try progress.write(SnapshotIndex.header(run, columns))
    runs.append((run, columns, 0))
  }

  /// Adds a frame to the run: whole lines, and the stream of each.
  public func write(_ piece: RowLines.Piece) throws(OpsError) {
    precondition(!runs.isEmpty, "rows are of a run")
    guard piece.text.count <= Int(FramedIndex.textBytesMax) else {
      throw OpsError(
        .inconsistentRow, "the rows are not archived: there is one of \(piece.text.count) bytes")
    }
    runs[runs.count - 1].lines += UInt64(piece.streams.count)
    let (run, entry) = (UInt32(truncatingIfNeeded: runs.count - 1), name.entry)
    try work.add { () throws(Damage) in
      let bytes = FrameEncoder().encode(piece.text)
      let record = FrameRecord(
        offset: 0, bytes: UInt32(bytes.count), textBytes: UInt32(piece.text.count),
        lines: UInt32(piece.streams.count), run: run, sha256: SHA256.hash(piece.text),
        // Rows have neither.
        entries: entry...entry, times: Instant(micros: 0)...Instant(micros: 0))
      return Frame(
        record: record, bytes: bytes, streams: Set(piece.streams).map(StreamMap.hash))
    }
  }

  /// Ends the snapshot and gives it its name.
  ///
  /// - Parameters:
  ///   - size: How many events the log has up to the entry.
  ///   - root: Of the tree over them.
  ///   - lastLeaf: Of the last of them; all zeros where there is none.
  /// - Returns: What it says of itself; and false where a file of that name is there already, which stays.
  public func finish(
    size: UInt64, root: Digest, lastLeaf: Digest
  ) throws(OpsError) -> (index: SnapshotIndex, isNew: Bool) {
    try work.finish()
    let map = progress.map.finish()
    let end = progress.offset
    try progress.write(FramedIndex.mapFrame(map.bytes))
    var index = SnapshotIndex(
      name: name, identity: identity, size: size, root: root, lastLeaf: lastLeaf,
      runs: runs.map { name, columns, lines in
        .init(name: name, columns: columns, lines: lines, frames: 0..<0, bytes: 0..<0)
      }, frames: progress.frames, map: map.buckets)
    let framed = index.framed
    do throws(Damage) {
      index = try SnapshotIndex(framed, of: name, upTo: end)
    } catch {
      throw OpsError(.inconsistentRow, "the rows are not archived: \(error.what)")
    }
    try progress.file.write(framed.encode(ending: progress.hasher))
    return (index, try progress.file.publish())
  }
}
