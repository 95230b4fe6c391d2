import Crypto
import Glibc
import LZ4
import Ledger
import Log
import Replay

/// What becomes of a frame's lines: the record for the index, the frame, and the leaves of its events.
struct SegmentFrame: Sendable {
  /// Its offset and its length in the file are 0 where it was not encoded.
  var record: FrameRecord
  var bytes: [UInt8] = []
  let leaves: [Digest]
  /// The hashes of its streams, for the map.
  let streams: [UInt64]
  /// Entries that have events here, and the position of the first and the last event.
  let entryCount: UInt64
  let first: LinePosition
  let last: LinePosition
  let gone: GoneContent
  /// The first event's type that this release does not know.
  let unknownType: String?
}

struct LinePosition: Comparable, Sendable {
  let entry: Int64
  let index: Int32

  static func < (a: LinePosition, b: LinePosition) -> Bool {
    a.entry == b.entry ? a.index < b.index : a.entry < b.entry
  }
}

/// Makes frames of lines, and looks at the lines of frames. Owned by one thread at a time.
final class SegmentFrameMaker {
  private let reader = EventLineReader()
  private let leafHasher = LeafHasher()
  private let hasher = SHA256()
  private static let types = EventTypes()

  init() {}

  /// Reads the lines of a frame.
  ///
  /// - Throws: Where they are not lines of the log in its order.
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
      } catch { throw Damage("line \(leaves.count + 1): \(error)") }
      let position = LinePosition(entry: event.entry, index: event.index)
      if let last, last >= position {
        throw Damage("line \(leaves.count) is not in the order of the log")
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
      throw Damage("it does not end with a whole line")
    }
    let record = FrameRecord(
      offset: 0, bytes: 0, textBytes: UInt32(text.count), lines: UInt32(leaves.count), run: 0,
      sha256: hasher.hash(text), entries: first.entry...last.entry, times: earliest...latest)
    return SegmentFrame(
      record: record, leaves: leaves, streams: streams.map(StreamMap.hash), entryCount: entryCount,
      first: first, last: last, gone: gone, unknownType: unknownType)
  }

  /// The same, and the frame itself.
  func make(_ text: [UInt8]) throws(Damage) -> SegmentFrame {
    try text.withUnsafeBytes { text in
      Result { () throws(Damage) in
        var frame = try read(text)
        frame.bytes = FrameEncoder().encode(text)
        frame.record.bytes = UInt32(frame.bytes.count)
        return frame
      }
    }.get()
  }

  /// Lines with their newlines; what follows the last newline must be nothing.
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
