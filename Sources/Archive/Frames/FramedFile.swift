import Crypto
import LZ4
import Ledger

/// A file of a store that is a run of frames and an index: reads of it what is asked for, and no more.
final class FramedFile {
  let file: StoredFile
  let index: FramedIndex
  /// Where the index begins.
  let indexOffset: UInt64
  /// Where the map of streams begins; where the index does, if there is none.
  var mapOffset: UInt64 { indexOffset - index.mapBytes }
  private let trailer: FramedIndex.Trailer
  let store: any ObjectStore
  private let decoder = FrameDecoder()
  private let hasher = SHA256()
  /// Of the map, those that were read: whoever follows one mission comes back to them.
  private var buckets: [Int: [UInt8]] = [:]
  /// Bytes that were read of the file.
  private(set) var bytesRead: UInt64 = 0

  /// Reads the index: a piece from the end of the file, and the rest of it where it is longer.
  init(_ store: any ObjectStore, _ file: StoredFile) throws(OpsError) {
    self.store = store
    self.file = file
    do throws(Damage) {
      if let oddity = file.oddity { throw Damage("it is \(oddity)") }
      guard file.size <= Self.bytesMax else { throw Damage("it is longer than a file can be") }
    } catch { throw Self.error(file, store, error, entries: nil) }
    let tail = min(file.size, 32 << 10)
    var bytes = try Self.read(store, file, (file.size - tail)..<file.size)
    do throws(Damage) {
      trailer = try FramedIndex.Trailer(bytes[...])
      guard trailer.frameBytes >= UInt64(FramedIndex.trailerBytes), trailer.frameBytes <= file.size
      else { throw Damage("its index is longer than it is itself") }
      guard trailer.frameBytes <= Self.indexBytesMax else { throw Damage("its index is too long") }
    } catch { throw Self.error(file, store, error, entries: nil) }
    indexOffset = file.size - trailer.frameBytes
    if trailer.frameBytes > tail {
      bytes = try Self.read(store, file, indexOffset..<(file.size - tail)) + bytes
    } else {
      bytes.removeFirst(Int(tail - trailer.frameBytes))
    }
    bytesRead = max(tail, trailer.frameBytes)
    do throws(Damage) {
      index = try FramedIndex(bytes, at: indexOffset)
    } catch { throw Self.error(file, store, error, entries: nil) }
  }

  /// What was read to open a file: it can be opened again with it, also on another thread.
  struct Opened: Sendable {
    fileprivate let store: any ObjectStore
    fileprivate let file: StoredFile
    fileprivate let index: FramedIndex
    fileprivate let indexOffset: UInt64
    fileprivate let trailer: FramedIndex.Trailer
  }

  var opened: Opened {
    Opened(store: store, file: file, index: index, indexOffset: indexOffset, trailer: trailer)
  }

  init(_ opened: Opened) {
    (store, file, index) = (opened.store, opened.file, opened.index)
    (indexOffset, trailer) = (opened.indexOffset, opened.trailer)
  }

  // MARK: Frames

  /// The text of a frame, of the right length and SHA-256; good until the next call.
  func text(_ number: Int) throws(OpsError) -> UnsafeRawBufferPointer {
    let frame = index.frames[number]
    let bytes = try read(frame.offset..<(frame.offset + UInt64(frame.bytes)))
    return try decode(bytes[...], number, decoder, hasher)
  }

  /// Decodes and checks a frame that was read.
  func decode(
    _ bytes: ArraySlice<UInt8>, _ number: Int, _ decoder: FrameDecoder, _ hasher: SHA256
  ) throws(OpsError) -> UnsafeRawBufferPointer {
    do throws(Damage) {
      return try index.decode(bytes, number, decoder, hasher)
    } catch { throw self.error(error) }
  }

  // MARK: Streams

  /// The frames that have lines of streams with these hashes (``StreamMap/hash(_:)``), and hardly any others. Reads
  /// their buckets of the map.
  func frames(of hashes: [UInt64]) throws(OpsError) -> Set<Int> {
    var found: Set<Int> = []
    let count = index.map.count
    guard count > 0 else { return found }
    for (number, hashes) in Dictionary(
      grouping: hashes, by: { StreamMap.bucket(of: $0, among: count) })
    {
      let bucket = try bucket(number)
      do throws(Damage) {
        found.formUnion(
          try StreamMap.frames(
            of: hashes, in: bucket, among: count, frameCount: index.frames.count))
      } catch { throw self.error(error) }
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
      throw error(Damage("its map of streams does not have the SHA-256 of the index"))
    }
    buckets[number] = bytes
    return bytes
  }

  // MARK: Everything

  /// All frames' bytes in order, then the SHA-256 of the file is compared. Reads large pieces.
  func eachFrame(
    _ body: (Int, ArraySlice<UInt8>) throws(OpsError) -> Void
  ) throws(OpsError) {
    let hasher = SHA256()
    var piece: [UInt8] = []
    // Where the piece begins, and up to where the file is hashed.
    var (start, hashed) = (UInt64(0), UInt64(0))
    for (number, frame) in index.frames.enumerated() {
      let end = frame.offset + UInt64(frame.bytes)
      if end > start + UInt64(piece.count) {
        // From where hashing goes on, so that what lies between two frames is hashed too.
        start = hashed
        piece = try read(start..<max(end, min(indexOffset, start + Self.pieceBytes)))
      }
      piece[Int(hashed - start)..<Int(end - start)].withUnsafeBytes { hasher.update($0) }
      hashed = end
      try body(number, piece[Int(frame.offset - start)..<Int(end - start)])
    }
    let rest = try read(hashed..<(file.size - UInt64(Self.bytesAfterSHA256)))
    hasher.update(rest)
    guard hasher.finish() == trailer.fileSHA256 else {
      throw error(Damage("it does not have the SHA-256 that is written at its end"))
    }
  }

  /// The file's SHA-256, length, format and magic.
  private static let bytesAfterSHA256 = 48
  /// More than any medium has.
  private static let bytesMax: UInt64 = 1 << 60
  /// Of a million frames.
  private static let indexBytesMax: UInt64 = 1 << 27
  /// What is read at once at most.
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
          file, store, Damage("it is shorter than it was when the store was listed"), entries: nil)
      }
      // Without a copy where one piece is all.
      if start == range.lowerBound { bytes = piece } else { bytes += piece }
      start = end
    }
    return bytes
  }

  // MARK: Errors

  /// What is damaged, and which entries cannot be had for it.
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
        ? "use a newer release" : "put it back from another copy of the store", at: store.place,
      file: file.name, losing: entries,
      facts: damage.frame.map { ["frame": String($0)] } ?? [:])
  }
}

extension FramedIndex {
  /// Decodes and checks a frame's bytes; good until the decoder's next call.
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
    case .failure(let error): throw Damage("it holds \(error)", frame: number)
    case .success(let text):
      guard text.count == Int(frame.textBytes), hasher.hash(text) == frame.sha256 else {
        throw Damage("its text does not have the SHA-256 of the index", frame: number)
      }
      return text
    }
  }
}
