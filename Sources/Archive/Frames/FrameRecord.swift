public import Crypto
public import Ledger

/// What the index of a file knows of one of its frames.
public struct FrameRecord: Equatable, Sendable {
  /// Where it begins in the file.
  public var offset: UInt64
  /// Its length in the file.
  public var bytes: UInt32
  /// The length of its content, whole lines.
  public var textBytes: UInt32
  public var lines: UInt32
  /// Which run of frames it belongs to: 0 in a segment.
  public var run: UInt32
  /// Of the content.
  public var sha256: Digest
  /// The first and the last entry with an event in it.
  public var entries: ClosedRange<Int64>
  /// The earliest and the latest time of its events.
  public var times: ClosedRange<Instant>
  var filter: StreamFilter

  /// Whether it may have lines of one of these streams. Wrongly so about once in 65,536 times.
  public func mayHold(_ streams: some Collection<StreamID>) -> Bool {
    filter.mayHold(streams.map(StreamFilter.hash))
  }

  /// Of all but the filter.
  static let wireBytes = 96

  func write(to wire: inout WireWriter) {
    wire.put(offset)
    wire.put(bytes)
    wire.put(textBytes)
    wire.put(lines)
    wire.put(run)
    wire.put(sha256)
    wire.put(entries.lowerBound)
    wire.put(entries.upperBound)
    wire.put(times.lowerBound.micros)
    wire.put(times.upperBound.micros)
    wire.put(UInt32(truncatingIfNeeded: filter.bytes.count))
    wire.put(UInt32(0))
  }
}

extension FrameRecord {
  /// Reads one without its filter, and how long that is.
  static func read(
    _ wire: inout WireReader, number: Int
  ) throws -> (frame: FrameRecord, filterBytes: UInt32) {
    let (offset, bytes, textBytes): (UInt64, UInt32, UInt32) = (
      try wire.int(), try wire.int(), try wire.int()
    )
    let (lines, run): (UInt32, UInt32) = (try wire.int(), try wire.int())
    let sha256 = try wire.digest()
    let (first, last): (Int64, Int64) = (try wire.int(), try wire.int())
    let (earliest, latest): (Int64, Int64) = (try wire.int(), try wire.int())
    let (filterBytes, zero): (UInt32, UInt32) = (try wire.int(), try wire.int())
    guard first <= last, earliest <= latest, zero == 0 else {
      throw Damage("its index has a frame that cannot be there", frame: number)
    }
    let frame = FrameRecord(
      offset: offset, bytes: bytes, textBytes: textBytes, lines: lines, run: run, sha256: sha256,
      entries: first...last, times: Instant(micros: earliest)...Instant(micros: latest),
      filter: StreamFilter(bytes: []))
    return (frame, filterBytes)
  }
}

/// Why a file is not what it should be, in words that follow its name.
struct Damage: Error, Equatable {
  let what: String
  /// The frame that it is about, where it is one.
  var frame: Int?

  /// It is whole, and newer than we are.
  var isNewer = false

  init(_ what: String, frame: Int? = nil) {
    self.what = what
    self.frame = frame
  }

  static func unknownFormat(_ format: UInt32) -> Damage {
    var damage = Damage("it has format \(format), this release reads \(FramedIndex.format)")
    damage.isNewer = true
    return damage
  }
}
