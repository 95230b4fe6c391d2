public import Crypto
import Glibc
public import Ledger
import Log

/// Writes a segment: takes the lines of its events in the order of the log, and gives the file its name when all
/// of it is there. One pass, and a few frames of memory, whatever the segment's size.
public final class SegmentWriter {
  /// How much text a frame has: enough to be small when compressed (a megabyte would save 2 %), little enough to be read
  /// for one mission.
  public static let frameTextBytes = 1 << 18

  private let file: any FileInTheMaking
  private let name: SegmentName
  private let identity: StreamID
  private let before: MerkleFrontier
  private let frameTextBytes: Int
  private let progress: Progress
  private var work: InOrder<SegmentFrame>
  /// Lines of the next frame.
  private var text: [UInt8] = []

  /// What is done so far; of the frames that are made on other threads, those that were taken.
  private final class Progress {
    let file: any FileInTheMaking
    let entries: ClosedRange<Int64>
    let leaves: ([Digest]) throws(OpsError) -> Void
    let tree = TreeHasher()
    let hasher = SHA256()
    var after: MerkleFrontier
    var own = MerkleFrontier()
    var frames: [FrameRecord] = []
    var map = StreamMap.Builder()
    var offset: UInt64 = 0
    var entryCount: UInt64 = 0
    var last: LinePosition?

    init(
      file: any FileInTheMaking, entries: ClosedRange<Int64>, before: MerkleFrontier,
      leaves: @escaping ([Digest]) throws(OpsError) -> Void
    ) {
      self.file = file
      self.entries = entries
      self.leaves = leaves
      after = before
    }

    func take(_ frame: SegmentFrame) throws(OpsError) {
      if let last, last >= frame.first {
        throw notWritten("entry \(frame.first.entry) comes after entry \(last.entry)")
      }
      guard entries.contains(frame.first.entry), entries.contains(frame.last.entry) else {
        throw notWritten("it has events of other entries than \(entries)")
      }
      entryCount += frame.entryCount - (last?.entry == frame.first.entry ? 1 : 0)
      last = frame.last
      for leaf in frame.leaves {
        after.append(leaf, tree)
        own.append(leaf, tree)
      }
      var record = frame.record
      record.offset = offset
      offset += UInt64(frame.bytes.count)
      frames.append(record)
      map.add(frame.streams)
      try write(frame.bytes)
      try leaves(frame.leaves)
    }

    func write(_ bytes: [UInt8]) throws(OpsError) {
      hasher.update(bytes)
      try put(bytes)
    }

    func put(_ bytes: [UInt8]) throws(OpsError) {
      try bytes.withUnsafeBytes { bytes in
        Result { () throws(OpsError) in try file.write(bytes) }
      }.get()
    }

    func notWritten(_ what: String) -> OpsError {
      OpsError(
        .inconsistentRow,
        "the log from entry \(entries.lowerBound) to \(entries.upperBound) is not archived: \(what)",
        hint: "run `opsledger verify`",
        facts: ["first_entry": "\(entries.lowerBound)", "last_entry": "\(entries.upperBound)"])
    }
  }

  /// - Parameters:
  ///   - before: The tree over the log up to the segment's first entry, without it.
  ///   - frameTextBytes: What a frame's text may have; more only where one line does.
  ///   - leaves: Gets the leaves of all events in order, for the tiles.
  public init(
    _ store: any ObjectStore, _ name: SegmentName, identity: StreamID, before: MerkleFrontier,
    frameTextBytes: Int = frameTextBytes,
    leaves: @escaping ([Digest]) throws(OpsError) -> Void = { _ in }
  ) throws(OpsError) {
    file = try store.make(name.path)
    self.name = name
    self.identity = identity
    self.before = before
    self.frameTextBytes = frameTextBytes
    let progress = Progress(file: file, entries: name.entries, before: before, leaves: leaves)
    self.progress = progress
    work = InOrder { damage, _ in
      progress.notWritten(damage.what)
    } take: { (frame) throws(OpsError) in
      try progress.take(frame)
    }
    text.reserveCapacity(frameTextBytes)
  }

  /// Takes one or more whole lines with their newlines.
  public func write(_ lines: UnsafeRawBufferPointer) throws(OpsError) {
    try SegmentFrameMaker.eachLine(of: lines) { (line) throws(OpsError) in
      if !text.isEmpty, text.count + line.count > frameTextBytes { try cut() }
      text.append(contentsOf: line)
    }
  }

  /// Ends a frame.
  private func cut() throws(OpsError) {
    guard text.count <= Int(FramedIndex.textBytesMax) else {
      throw progress.notWritten("it has an event of \(text.count) bytes")
    }
    let lines = text
    text = []
    text.reserveCapacity(frameTextBytes)
    try work.add { () throws(Damage) in try SegmentFrameMaker().make(lines) }
  }

  /// Ends the segment and gives it its name.
  ///
  /// - Returns: What it says of itself; and false where a file of that name is there already, which stays.
  public func finish() throws(OpsError) -> (index: SegmentIndex, isNew: Bool) {
    let index = try end()
    try progress.put(index.framed.encode(ending: progress.hasher))
    return (index, try file.publish())
  }

  /// Everything but the index.
  private func end() throws(OpsError) -> SegmentIndex {
    if !text.isEmpty { try cut() }
    try work.finish()
    let map = progress.map.finish()
    try progress.write(FramedIndex.mapFrame(map.bytes))
    return SegmentIndex(
      name: name, identity: identity, entryCount: progress.entryCount, before: before,
      after: progress.after, ownRoot: progress.own.root(progress.tree), frames: progress.frames,
      map: map.buckets)
  }
}
