import Crypto
import LZ4
import Ledger

/// A file of a store: frames and an index. Reads only the parts that a caller asks for.
final class FramedFile {
  /// What a second reader needs, also on another thread, to open the file without reading its index.
  struct Opened: Sendable {
    let store: any ObjectStore
    let file: StoredFile
    let index: FramedIndex
    let indexOffset: UInt64
    let trailer: FramedIndex.Trailer
  }

  let opened: Opened
  private var store: any ObjectStore { opened.store }
  private var file: StoredFile { opened.file }
  var index: FramedIndex { opened.index }
  var indexOffset: UInt64 { opened.indexOffset }
  /// The offset of the map of streams; the index's offset if the file has no map.
  var mapOffset: UInt64 { indexOffset - index.mapBytes }
  private let decoder = FrameDecoder()
  private let hasher = SHA256()
  /// Buckets of the map that were read. A reader of one mission asks for the same buckets again.
  private var buckets: [Int: [UInt8]] = [:]
  private(set) var bytesRead: UInt64 = 0

  /// Reads the index: the last 32 KiB of the file, and the rest of the index if it is longer.
  init(_ store: any ObjectStore, _ file: StoredFile) throws(OpsError) {
    let tail = min(file.size, 32 << 10)
    do throws(Damage) {
      if let oddity = file.oddity { throw Damage("it is \(oddity), not a file") }
      guard file.size <= Self.bytesMax else {
        throw Damage("it is longer than a file of a store can be")
      }
    } catch { throw Self.error(file, store, error, entries: nil) }
    var bytes = try Self.read(store, file, (file.size - tail)..<file.size)
    let trailer: FramedIndex.Trailer
    do throws(Damage) {
      trailer = try FramedIndex.Trailer(bytes[...])
      guard trailer.frameBytes >= UInt64(FramedIndex.trailerBytes), trailer.frameBytes <= file.size
      else { throw Damage("its index is longer than the file") }
      guard trailer.frameBytes <= Self.indexBytesMax else {
        throw Damage("its index is longer than \(Self.indexBytesMax) bytes")
      }
    } catch { throw Self.error(file, store, error, entries: nil) }
    let offset = file.size - trailer.frameBytes
    if trailer.frameBytes > tail {
      bytes = try Self.read(store, file, offset..<(file.size - tail)) + bytes
    } else {
      bytes.removeFirst(Int(tail - trailer.frameBytes))
    }
    bytesRead = max(tail, trailer.frameBytes)
    do throws(Damage) {
      opened = Opened(
        store: store, file: file, index: try FramedIndex(bytes, at: offset), indexOffset: offset,
        trailer: trailer)
    } catch { throw Self.error(file, store, error, entries: nil) }
  }

  init(_ opened: Opened) { self.opened = opened }

  // MARK: Frames

  /// The text of a frame, its length and SHA-256 checked; valid until the next call.
  func text(_ number: Int) throws(OpsError) -> UnsafeRawBufferPointer {
    let frame = index.frames[number]
    let bytes = try read(frame.offset..<(frame.offset + UInt64(frame.bytes)))
    return try decode(bytes[...], number, decoder, hasher)
  }

  func decode(
    _ bytes: ArraySlice<UInt8>, _ number: Int, _ decoder: FrameDecoder, _ hasher: SHA256
  ) throws(OpsError) -> UnsafeRawBufferPointer {
    try checked { () throws(Damage) in try index.decode(bytes, number, decoder, hasher) }
  }

  // MARK: Streams

  /// The frames with lines of streams that have these hashes (``StreamMap/hash(_:)``), and hardly any others. Reads
  /// the buckets of these hashes only.
  func frames(of hashes: [UInt64]) throws(OpsError) -> Set<Int> {
    var found: Set<Int> = []
    let count = index.map.count
    guard count > 0 else { return found }
    for (number, hashes) in Dictionary(
      grouping: hashes, by: { StreamMap.bucket(of: $0, among: count) })
    {
      let bucket = try bucket(number)
      found.formUnion(
        try checked { () throws(Damage) in
          try StreamMap.frames(
            of: hashes, in: bucket, among: count, frameCount: index.frames.count)
        })
    }
    return found
  }

  private func bucket(_ number: Int) throws(OpsError) -> [UInt8] {
    if let bytes = buckets[number] { return bytes }
    let start = index.map[..<number].reduce(mapOffset + UInt64(SkippableFrame.headerBytes)) {
      $0 + UInt64($1.bytes)
    }
    let bytes = try read(start..<(start + UInt64(index.map[number].bytes)))
    guard StreamMap.Bucket(of: bytes) == index.map[number] else {
      throw error(Damage("its map of streams does not match the SHA-256 in its index"))
    }
    buckets[number] = bytes
    return bytes
  }

  // MARK: Everything

  /// Hands over the bytes of each frame in order, and then compares the SHA-256 of the file. Reads large pieces.
  func eachFrame(
    _ body: (Int, ArraySlice<UInt8>) throws(OpsError) -> Void
  ) throws(OpsError) {
    let hasher = SHA256()
    var piece: [UInt8] = []
    // The offset of the piece, and the end of what is hashed.
    var (start, hashed) = (UInt64(0), UInt64(0))
    for (number, frame) in index.frames.enumerated() {
      let end = frame.offset + UInt64(frame.bytes)
      if end > start + UInt64(piece.count) {
        // Begins where hashing ended, so that the bytes between two frames are hashed too.
        start = hashed
        piece = try read(start..<max(end, min(indexOffset, start + Self.pieceBytes)))
      }
      piece[Int(hashed - start)..<Int(end - start)].withUnsafeBytes { hasher.update($0) }
      hashed = end
      try body(number, piece[Int(frame.offset - start)..<Int(end - start)])
    }
    let rest = try read(hashed..<(file.size - UInt64(Self.bytesAfterSHA256)))
    hasher.update(rest)
    guard hasher.finish() == opened.trailer.fileSHA256 else {
      throw error(Damage("its bytes do not match the SHA-256 at its end"))
    }
  }

  /// The file's SHA-256, length, format and magic.
  private static let bytesAfterSHA256 = 48
  private static let bytesMax: UInt64 = 1 << 60
  /// The index of a million frames.
  private static let indexBytesMax: UInt64 = 1 << 27
  /// The most that one request reads.
  private static let pieceBytes: UInt64 = 2 << 20

  private func read(_ range: Range<UInt64>) throws(OpsError) -> [UInt8] {
    bytesRead += UInt64(range.count)
    return try Self.read(store, file, range)
  }

  private static func read(
    _ store: any ObjectStore, _ file: StoredFile, _ range: Range<UInt64>
  ) throws(OpsError) -> [UInt8] {
    var bytes: [UInt8] = []
    var start = range.lowerBound
    while start < range.upperBound {
      let end = min(range.upperBound, start + pieceBytes)
      let piece = try store.read(file.name, start..<end)
      guard piece.count == Int(end - start) else {
        throw error(
          file, store, Damage("it is shorter than the store's listing says"), entries: nil)
      }
      // Avoids a copy if one piece is all.
      if start == range.lowerBound { bytes = piece } else { bytes += piece }
      start = end
    }
    return bytes
  }

  // MARK: Errors

  func checked<R>(_ body: () throws(Damage) -> R) throws(OpsError) -> R {
    do { return try body() } catch { throw self.error(error) }
  }

  /// Names the file, the frame, and the entries that the damage makes unavailable.
  func error(_ damage: Damage) -> OpsError {
    Self.error(
      file, store, damage, entries: damage.frame.map { index.frames[$0].entries } ?? index.entries)
  }

  static func error(
    _ file: StoredFile, _ store: any ObjectStore, _ damage: Damage, entries: ClosedRange<Int64>?
  ) -> OpsError {
    let place = damage.frame.map { "frame \($0) of \(file.name)" } ?? file.name
    return OpsError(
      store: damage.isNewer ? .newerFormat : .damaged,
      "\(place) in \(store.place) \(damage.isNewer ? "cannot be read" : "is damaged"): \(damage.what)",
      hint: damage.isNewer
        ? "use a newer release" : "put the file back from another copy of the store",
      at: store.place,
      file: file.name, losing: entries,
      facts: damage.frame.map { ["frame": String($0)] } ?? [:])
  }
}

extension FramedIndex {
  /// Decodes and checks the bytes of a frame. The text is valid until the decoder's next call.
  func decode(
    _ bytes: ArraySlice<UInt8>, _ number: Int, _ decoder: FrameDecoder, _ hasher: SHA256
  ) throws(Damage) -> UnsafeRawBufferPointer {
    let frame = frames[number]
    let decoded = bytes.withUnsafeBytes { bytes in
      Result { () throws(LZ4Error) in
        try decoder.decode(bytes, bytesMax: Int(frame.textBytes))
      }
    }
    switch decoded {
    case .failure(let error): throw Damage("it cannot be decoded: \(error)", frame: number)
    case .success(let text):
      guard text.count == Int(frame.textBytes), hasher.hash(text) == frame.sha256 else {
        throw Damage("its text does not match the SHA-256 in the index of the file", frame: number)
      }
      return text
    }
  }
}
