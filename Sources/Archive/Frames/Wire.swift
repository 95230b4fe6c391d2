import Crypto
import Ledger

extension [UInt8] {
  /// `withUnsafeBytes` with typed throws.
  func withBytes<R, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    try withUnsafeBytes { bytes in Result { () throws(E) in try body(bytes) } }.get()
  }
}

/// Writes the fields of an index, big-endian.
struct WireWriter {
  private(set) var bytes: [UInt8] = []

  mutating func put<Value: FixedWidthInteger>(_ value: Value) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func put(_ id: StreamID) {
    put(id.high)
    put(id.low)
  }

  mutating func put(_ digest: Digest) { bytes.append(contentsOf: digest.bytes) }

  mutating func put(_ more: [UInt8]) { bytes.append(contentsOf: more) }
}

/// Reads the fields of an index, from bytes that anybody may have written.
struct WireReader {
  /// Fewer bytes are left than a field has.
  struct CutShort: Error {}

  private let bytes: ArraySlice<UInt8>
  private var at: Int

  init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    at = bytes.startIndex
  }

  var left: Int { bytes.endIndex - at }

  mutating func take(_ count: Int) throws(CutShort) -> ArraySlice<UInt8> {
    guard count >= 0, count <= left else { throw CutShort() }
    defer { at += count }
    return bytes[at..<(at + count)]
  }

  mutating func int<Value: FixedWidthInteger>(_: Value.Type = Value.self) throws(CutShort) -> Value
  {
    var value: Value = 0
    for byte in try take(MemoryLayout<Value>.size) { value = value << 8 | Value(byte) }
    return value
  }

  mutating func id() throws(CutShort) -> StreamID {
    StreamID(high: try int(), low: try int())
  }

  mutating func digest() throws(CutShort) -> Digest {
    Digest(words: (try int(), try int(), try int(), try int()))
  }

  mutating func digests(_ count: Int) throws(CutShort) -> [Digest] {
    guard count <= left / Digest.byteCount else { throw CutShort() }
    var digests: [Digest] = []
    for _ in 0..<count { digests.append(try digest()) }
    return digests
  }
}
