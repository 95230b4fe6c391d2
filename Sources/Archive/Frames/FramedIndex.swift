import Crypto
import LZ4
import Ledger

/// The index of a file of the store: its last frame, which LZ4 decoders skip. It describes the other frames.
///
/// `docs/formats/segment.md` gives its bytes.
struct FramedIndex: Equatable, Sendable {
  enum Kind: UInt32, Sendable {
    case segment = 1
    case snapshot = 2
  }

  /// The version of the format. Any change of what is written here raises it.
  static let format: UInt32 = 1
  /// The last digit of the skippable frame's magic number 0x184D2A5A; 0xE is that of seekable zstd.
  static let skippableKind: UInt8 = 10
  static let magic = Array("OPSLEDGR".utf8)
  /// Two SHA-256, length, format and magic.
  static let trailerBytes = 80
  /// PostgreSQL's limit of a line, too.
  static let textBytesMax: UInt32 = 1 << 30

  var kind: Kind
  /// The ledger's identity.
  var identity: StreamID
  /// The covered entries, with numbers that no entry has.
  var entries: ClosedRange<Int64>
  /// 1, and one more each time the file was written again without erased content.
  var generation: UInt32
  var frames: [FrameRecord]
  /// The buckets of the map of streams, which is the frame before the index. Empty in a file without lines.
  var map: [StreamMap.Bucket]
  /// The fields that only this kind of file has.
  var particulars: [UInt8]

  var lines: UInt64 { frames.reduce(0) { $0 + UInt64($1.lines) } }

  /// The length of the map's frame with its header.
  var mapBytes: UInt64 {
    map.isEmpty ? 0 : map.reduce(UInt64(SkippableFrame.headerBytes)) { $0 + UInt64($1.bytes) }
  }

  /// The last digit of the map frame's magic number 0x184D2A5C.
  static let mapKind: UInt8 = 12

  /// The frame of a map; empty for an empty map.
  static func mapFrame(_ map: [UInt8]) -> [UInt8] {
    map.isEmpty
      ? []
      : SkippableFrame.header(
        kind: mapKind, bodyBytes: UInt32(truncatingIfNeeded: map.count)) + map
  }

  /// The skippable frame up to its trailer.
  private var content: [UInt8] {
    var wire = WireWriter()
    wire.put(kind.rawValue)
    wire.put(identity)
    wire.put(entries.lowerBound)
    wire.put(entries.upperBound)
    wire.put(generation)
    wire.put(UInt32(truncatingIfNeeded: particulars.count))
    wire.put(UInt32(truncatingIfNeeded: frames.count))
    wire.put(UInt32(truncatingIfNeeded: map.count))
    wire.put(particulars)
    for frame in frames { frame.write(to: &wire) }
    for bucket in map {
      wire.put(bucket.bytes)
      wire.put(bucket.check)
    }
    return wire.bytes
  }

  /// The whole frame, which ends the file.
  ///
  /// - Parameter hasher: Has hashed all earlier bytes of the file.
  func encode(ending hasher: SHA256) -> [UInt8] {
    let content = content
    let length = UInt32(content.count + Self.trailerBytes)
    var wire = WireWriter()
    wire.put(SkippableFrame.header(kind: Self.skippableKind, bodyBytes: length))
    wire.put(content)
    wire.put(SHA256.hash(wire.bytes))
    hasher.update(wire.bytes)
    wire.put(hasher.finish())
    wire.put(length)
    wire.put(Self.format)
    wire.put(Self.magic)
    return wire.bytes
  }
}

extension FramedIndex {
  /// The last bytes of a file.
  struct Trailer: Equatable {
    let indexSHA256: Digest
    let fileSHA256: Digest
    /// The length of the index's frame with its header.
    let frameBytes: UInt64

    /// - Throws: Also for an unknown format.
    init(_ bytes: ArraySlice<UInt8>) throws(Damage) {
      let magic = FramedIndex.magic
      let trailerBytes = FramedIndex.trailerBytes
      var wire = WireReader(bytes.suffix(trailerBytes))
      guard bytes.count >= trailerBytes, bytes.suffix(8).elementsEqual(magic),
        let indexSHA256 = try? wire.digest(), let fileSHA256 = try? wire.digest(),
        let length = try? wire.int(UInt32.self), let format = try? wire.int(UInt32.self)
      else {
        throw Damage("it is cut off, or not a file of a store: the mark at its end is missing")
      }
      guard format == FramedIndex.format else { throw .unknownFormat(format) }
      self.indexSHA256 = indexSHA256
      self.fileSHA256 = fileSHA256
      frameBytes = UInt64(length) + UInt64(SkippableFrame.headerBytes)
    }
  }

  /// Reads the whole frame.
  ///
  /// - Parameter offset: Its offset in the file, where the other frames must end.
  init(_ bytes: [UInt8], at offset: UInt64) throws(Damage) {
    let trailer = try Trailer(bytes[...])
    let content = bytes.dropLast(Self.trailerBytes)
    guard SHA256.hash(Array(content)) == trailer.indexSHA256 else {
      throw Damage("its index does not match the SHA-256 at the end of the file")
    }
    let header = bytes.withUnsafeBytes { SkippableFrame.read($0) }
    guard let header, header.kind == Self.skippableKind,
      Int(header.bodyBytes) == bytes.count - SkippableFrame.headerBytes
    else { throw Damage("its index does not have the length that the end of the file gives") }
    do {
      try self.init(content.dropFirst(SkippableFrame.headerBytes))
    } catch let damage as Damage {
      throw damage
    } catch { throw Damage.indexIncomplete }
    try checkGeometry(upTo: offset)
  }

  private init(_ content: ArraySlice<UInt8>) throws {
    var wire = WireReader(content)
    let number: UInt32 = try wire.int()
    guard let kind = Kind(rawValue: number) else {
      throw Damage("it is a file of kind \(number), which this release does not know")
    }
    self.kind = kind
    identity = try wire.id()
    let (first, last): (Int64, Int64) = (try wire.int(), try wire.int())
    guard first <= last else { throw Damage("its index gives a last entry before its first") }
    entries = first...last
    generation = try wire.int()
    let particularBytes: UInt32 = try wire.int()
    let (count, buckets): (UInt32, UInt32) = (try wire.int(), try wire.int())
    particulars = Array(try wire.take(Int(particularBytes)))
    guard Int(count) <= wire.left / FrameRecord.wireBytes else { throw WireReader.CutShort() }
    frames = []
    for number in 0..<Int(count) { frames.append(try FrameRecord.read(&wire, number: number)) }
    guard Int(buckets) == wire.left / StreamMap.Bucket.wireBytes else {
      throw WireReader.CutShort()
    }
    map = []
    for _ in 0..<buckets { map.append(.init(bytes: try wire.int(), check: try wire.int())) }
    guard wire.left == 0 else { throw Damage.indexTooLong }
    guard buckets & (buckets &- 1) == 0, (buckets == 0) == (count == 0) else {
      throw Damage("its index describes a map of streams that cannot exist")
    }
  }

  /// Checks that the frames follow each other (a snapshot has a header before each run), and that their lengths are
  /// possible.
  private func checkGeometry(upTo index: UInt64) throws(Damage) {
    guard mapBytes <= index else { throw Damage("its map of streams is longer than the file") }
    let end = index - mapBytes
    var offset: UInt64 = 0
    for (number, frame) in frames.enumerated() {
      guard frame.offset == offset || kind == .snapshot && frame.offset > offset, frame.bytes > 0,
        frame.lines > 0, frame.textBytes > 0,
        frame.textBytes <= Self.textBytesMax,
        UInt64(frame.textBytes) <= UInt64(frame.bytes) * 255,
        // Incompressible text gets little longer: headers, and some bytes for each block of 64 KiB.
        UInt64(frame.bytes) <= UInt64(frame.textBytes) + UInt64(frame.textBytes) / 128 + 1024
      else { throw .impossible(frame: number) }
      let (next, overflows) = frame.offset.addingReportingOverflow(UInt64(frame.bytes))
      guard !overflows else { throw .impossible(frame: number) }
      offset = next
    }
    guard offset == end || kind == .snapshot && offset < end else {
      throw .framesEndElsewhere
    }
  }
}
