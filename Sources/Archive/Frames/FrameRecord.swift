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

  static let wireBytes = 88

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
  }
}

extension FrameRecord {
  static func read(_ wire: inout WireReader, number: Int) throws -> FrameRecord {
    let (offset, bytes, textBytes): (UInt64, UInt32, UInt32) = (
      try wire.int(), try wire.int(), try wire.int()
    )
    let (lines, run): (UInt32, UInt32) = (try wire.int(), try wire.int())
    let sha256 = try wire.digest()
    let (first, last): (Int64, Int64) = (try wire.int(), try wire.int())
    let (earliest, latest): (Int64, Int64) = (try wire.int(), try wire.int())
    guard first <= last, earliest <= latest else {
      throw Damage("its index has a frame that cannot be there", frame: number)
    }
    return FrameRecord(
      offset: offset, bytes: bytes, textBytes: textBytes, lines: lines, run: run, sha256: sha256,
      entries: first...last, times: Instant(micros: earliest)...Instant(micros: latest))
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
