import Crypto
import Ledger

/// Writes a file of the store in one pass: frames, their map of streams, and the index.
final class FramedWriter {
  private let file: any FileInTheMaking
  private let hasher = SHA256()
  private(set) var offset: UInt64 = 0
  private(set) var frames: [FrameRecord] = []
  private var map = StreamMap.Builder()

  init(_ file: any FileInTheMaking) { self.file = file }

  /// - Parameter streams: The hashes of the frame's streams.
  func add(_ record: FrameRecord, _ bytes: [UInt8], streams: [UInt64]) throws(OpsError) {
    var record = record
    record.offset = offset
    frames.append(record)
    map.add(streams)
    try write(bytes)
  }

  func write(_ bytes: [UInt8]) throws(OpsError) {
    hasher.update(bytes)
    offset += UInt64(bytes.count)
    try file.write(bytes)
  }

  /// Writes the map of streams after the last frame.
  func finishMap() throws(OpsError) -> [StreamMap.Bucket] {
    let map = map.finish()
    try write(FramedIndex.mapFrame(map.bytes))
    return map.buckets
  }

  /// - Returns: False if the store has a file of that name already, which stays.
  func publish(_ index: FramedIndex) throws(OpsError) -> Bool {
    try file.write(index.encode(ending: hasher))
    return try file.publish()
  }
}
