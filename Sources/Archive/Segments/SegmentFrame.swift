import Crypto
import Glibc
import LZ4
import Ledger
import Log
import Replay

/// The lines of a frame, for the index and the trees.
struct SegmentFrame: Sendable {
  /// Its offset and its length in the file are 0 until it is encoded.
  var record: FrameRecord
  var bytes: [UInt8] = []
  let leaves: [Digest]
  /// The hashes of its streams, for the map.
  let streams: [UInt64]
  /// The number of entries with events here, and the positions of the first and the last event.
  let entryCount: UInt64
  let first: LinePosition
  let last: LinePosition
  let gone: GoneContent
  /// The first event type that this release does not know.
  let unknownType: String?
}

/// The position of an event in the log.
struct LinePosition: Comparable, Sendable {
  let entry: Int64
  let index: Int32

  init(_ event: EventLine) { (entry, index) = (event.entry, event.index) }

  static func < (a: LinePosition, b: LinePosition) -> Bool {
    a.entry == b.entry ? a.index < b.index : a.entry < b.entry
  }
}

/// What the index of a segment says of all its frames.
struct SegmentTotals {
  private(set) var after: MerkleFrontier
  private var own = MerkleFrontier()
  private(set) var entryCount: UInt64 = 0
  private var last: LinePosition?
  private let tree = TreeHasher()

  /// - Parameter after: The tree over the log before the segment.
  init(after: MerkleFrontier) { self.after = after }

  var ownRoot: Digest { own.root(tree) }

  /// - Returns: False if the frame does not come after the frames before it.
  mutating func add(_ frame: SegmentFrame) -> Bool {
    if let last, last >= frame.first { return false }
    entryCount += frame.entryCount - (last?.entry == frame.first.entry ? 1 : 0)
    last = frame.last
    for leaf in frame.leaves {
      after.append(leaf, tree)
      own.append(leaf, tree)
    }
    return true
  }
}

/// Makes frames of lines, and reads the lines of frames. Serves one thread at a time.
final class SegmentFrameMaker {
  private let reader = EventLineReader()
  private let leafHasher = LeafHasher()
  private let hasher = SHA256()
  private static let types = EventTypes()

  /// - Throws: If they are not lines of the log in its order.
  func read(_ text: UnsafeRawBufferPointer) throws(Damage) -> SegmentFrame {
    var leaves: [Digest] = []
    leaves.reserveCapacity(text.count / 256)
    var streams = Set<StreamID>()
    var (first, last): (LinePosition?, LinePosition?)
    var (earliest, latest) = (Instant(micros: .max), Instant(micros: .min))
    var entryCount: UInt64 = 0
    var gone = GoneContent()
    var unknownType: String?
    try Self.eachLine(of: text) { (line) throws(Damage) in
      let event: EventLine
      do throws(EventLineError) {
        event = try reader.read(line)
        leaves.append(try leafHasher.leaf(of: event))
      } catch { throw Damage("event \(leaves.count + 1) of the frame cannot be read: \(error)") }
      let position = LinePosition(event)
      if let last, last >= position {
        throw Damage("event \(leaves.count) of the frame is not in the order of the log")
      }
      if last?.entry != position.entry { entryCount += 1 }
      first = first ?? position
      last = position
      earliest = min(earliest, event.recordedAt)
      latest = max(latest, event.recordedAt)
      streams.insert(event.stream)
      gone.note(event)
      if unknownType == nil, !Self.types.knows(event.type) {
        unknownType = String(decoding: event.type.prefix(60), as: UTF8.self)
      }
    }
    guard let first, let last, text.last == UInt8(ascii: "\n") else {
      throw Damage("the last line of the frame has no newline")
    }
    let record = FrameRecord(
      offset: 0, bytes: 0, textBytes: UInt32(text.count), lines: UInt32(leaves.count), run: 0,
      sha256: hasher.hash(text), entries: first.entry...last.entry, times: earliest...latest)
    return SegmentFrame(
      record: record, leaves: leaves, streams: streams.map(StreamMap.hash), entryCount: entryCount,
      first: first, last: last, gone: gone, unknownType: unknownType)
  }

  /// Reads the lines, and encodes them as a frame.
  func make(_ text: [UInt8]) throws(Damage) -> SegmentFrame {
    var frame = try text.withBytes { (text) throws(Damage) in try read(text) }
    frame.bytes = FrameEncoder().encode(text)
    frame.record.bytes = UInt32(frame.bytes.count)
    return frame
  }

  /// Hands over each line with its newline.
  static func eachLine<E: Error>(
    of text: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(E) -> Void
  ) throws(E) {
    guard var at = text.baseAddress else { return }
    let end = at + text.count
    while at < end {
      let newline = memchr(at, 10, end - at).map { UnsafeRawPointer($0) + 1 } ?? end
      try body(UnsafeRawBufferPointer(start: at, count: newline - at))
      at = newline
    }
  }
}
