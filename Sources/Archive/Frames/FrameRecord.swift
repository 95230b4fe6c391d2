public import Crypto
public import Ledger

/// One frame of a file, as its index describes it.
public struct FrameRecord: Equatable, Sendable {
  /// Its offset in the file.
  public var offset: UInt64
  /// Its length in the file.
  public var bytes: UInt32
  /// The length of its decoded text, which is whole lines.
  public var textBytes: UInt32
  public var lines: UInt32
  /// The number of its run in a snapshot; 0 in a segment.
  public var run: UInt32
  /// Of the decoded text.
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

  static func read(_ wire: inout WireReader, number: Int) throws -> FrameRecord {
    let (offset, bytes, textBytes): (UInt64, UInt32, UInt32) = (
      try wire.int(), try wire.int(), try wire.int()
    )
    let (lines, run): (UInt32, UInt32) = (try wire.int(), try wire.int())
    let sha256 = try wire.digest()
    let (first, last): (Int64, Int64) = (try wire.int(), try wire.int())
    let (earliest, latest): (Int64, Int64) = (try wire.int(), try wire.int())
    guard first <= last, earliest <= latest else {
      throw Damage.impossible(frame: number)
    }
    return FrameRecord(
      offset: offset, bytes: bytes, textBytes: textBytes, lines: lines, run: run, sha256: sha256,
      entries: first...last, times: Instant(micros: earliest)...Instant(micros: latest))
  }
}

/// What is wrong with a file, in words that follow its name.
struct Damage: Error, Equatable {
  let what: String
  /// The number of the damaged frame; nil for the whole file.
  var frame: Int?
  /// Whether the file is sound, and has a format that this release does not read.
  var isNewer = false

  init(_ what: String, frame: Int? = nil) {
    self.what = what
    self.frame = frame
  }

  static func impossible(frame: Int) -> Damage {
    Damage("the index of the file gives it an impossible position, length or range", frame: frame)
  }

  static let indexIncomplete = Damage("its index is incomplete")
  static let indexTooLong = Damage("its index has bytes after its last field")
  static let miscounted = Damage("its index gives two different numbers of lines")
  static let framesEndElsewhere = Damage("its frames do not end where its map of streams begins")

  static func unknownFormat(_ format: UInt32) -> Damage {
    var damage = Damage(
      "it has format \(format), and this release reads format \(FramedIndex.format)")
    damage.isNewer = true
    return damage
  }
}
