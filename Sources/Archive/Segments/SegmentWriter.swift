public import Crypto
public import Ledger
import Log

/// Writes a segment in one pass, with a few frames in memory. The file gets its name at the end.
public final class SegmentWriter {
  /// The length of a frame's text. Frames of a megabyte would save 2 %, and a reader of one mission reads few frames.
  public static let frameTextBytes = 1 << 18

  private let name: SegmentName
  private let identity: StreamID
  private let before: MerkleFrontier
  private let frameTextBytes: Int
  private let progress: Progress
  private var work: InOrder<SegmentFrame>
  /// Lines of the next frame.
  private var text: [UInt8] = []

  /// The frames that are written so far.
  private final class Progress {
    let file: FramedWriter
    let entries: ClosedRange<Int64>
    var totals: SegmentTotals

    init(_ file: any FileInTheMaking, _ entries: ClosedRange<Int64>, before: MerkleFrontier) {
      self.file = FramedWriter(file)
      self.entries = entries
      totals = SegmentTotals(after: before)
    }

    func take(_ frame: SegmentFrame) throws(OpsError) {
      guard totals.add(frame) else {
        throw notWritten("entry \(frame.first.entry) comes after an entry with a greater number")
      }
      guard entries.contains(frame.first.entry), entries.contains(frame.last.entry) else {
        throw notWritten("the segment would have events of other entries")
      }
      try file.add(frame.record, frame.bytes, streams: frame.streams)
    }

    func notWritten(_ what: String) -> OpsError {
      OpsError(
        .inconsistentRow,
        "entries \(entries.lowerBound) to \(entries.upperBound) of the log were not stored: \(what)",
        hint: "run `opsledger verify`",
        facts: ["first_entry": "\(entries.lowerBound)", "last_entry": "\(entries.upperBound)"])
    }
  }

  /// - Parameters:
  ///   - before: The tree over the log before the segment's first entry.
  ///   - frameTextBytes: The longest text of a frame. Only a frame of a single line may be longer.
  public init(
    _ store: any ObjectStore, _ name: SegmentName, identity: StreamID, before: MerkleFrontier,
    frameTextBytes: Int = frameTextBytes
  ) throws(OpsError) {
    self.name = name
    self.identity = identity
    self.before = before
    self.frameTextBytes = frameTextBytes
    let progress = Progress(try store.make(name.path), name.entries, before: before)
    self.progress = progress
    work = InOrder { damage, _ in
      progress.notWritten(damage.what)
    } take: { (frame) throws(OpsError) in
      try progress.take(frame)
    }
    text.reserveCapacity(frameTextBytes)
  }

  /// Takes whole lines with their newlines, in the order of the log.
  public func write(_ lines: UnsafeRawBufferPointer) throws(OpsError) {
    try SegmentFrameMaker.eachLine(of: lines) { (line) throws(OpsError) in
      if !text.isEmpty, text.count + line.count > frameTextBytes { try cut() }
      text.append(contentsOf: line)
    }
  }

  public func write(_ lines: [UInt8]) throws(OpsError) {
    try lines.withBytes { (lines) throws(OpsError) in try write(lines) }
  }

  /// Takes all lines of a segment, and verifies that segment.
  func write(all segment: SegmentReader) throws(OpsError) {
    try segment.verify { (frame) throws(OpsError) in try self.write(frame.text) }
  }

  /// Ends a frame.
  private func cut() throws(OpsError) {
    guard text.count <= Int(FramedIndex.textBytesMax) else {
      throw progress.notWritten("one event has \(text.count) bytes, too many for a segment")
    }
    let lines = text
    text = []
    text.reserveCapacity(frameTextBytes)
    try work.add { () throws(Damage) in try SegmentFrameMaker().make(lines) }
  }

  /// Ends the segment and gives it its name.
  ///
  /// - Returns: The index; and false if the store has a file of that name already, which stays.
  public func finish() throws(OpsError) -> (index: SegmentIndex, isNew: Bool) {
    if !text.isEmpty { try cut() }
    try work.finish()
    let (file, totals) = (progress.file, progress.totals)
    let map = try file.finishMap()
    let index = SegmentIndex(
      name: name, identity: identity, entryCount: totals.entryCount, before: before,
      after: totals.after, root: totals.after.root(TreeHasher()), ownRoot: totals.ownRoot,
      frames: file.frames, map: map)
    return (index, try file.publish(index.framed))
  }
}
