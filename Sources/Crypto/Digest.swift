/// A SHA-256.
public struct Digest: Hashable, Sendable {
  /// The bytes in order, as big-endian words: four words are cheaper to compare and hash than 32 bytes.
  public let words: (UInt64, UInt64, UInt64, UInt64)

  public static let byteCount = 32

  @inlinable public init(words: (UInt64, UInt64, UInt64, UInt64)) { self.words = words }

  public static let zero = Digest(words: (0, 0, 0, 0))

  /// Nil unless there are 32 bytes.
  public init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count == 32 else { return nil }
    func word(_ index: Int) -> UInt64 {
      UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
    }
    words = (word(0), word(1), word(2), word(3))
  }

  public init?(_ bytes: [UInt8]) {
    guard let digest = bytes.withUnsafeBytes({ Digest($0) }) else { return nil }
    self = digest
  }

  /// Digests that lie one after the other.
  static func all(in bytes: UnsafeRawBufferPointer) -> [Digest] {
    stride(from: 0, to: bytes.count, by: byteCount).compactMap {
      Digest(UnsafeRawBufferPointer(rebasing: bytes[$0..<min($0 + byteCount, bytes.count)]))
    }
  }

  public var bytes: [UInt8] { withUnsafeBytes { Array($0) } }

  /// 64 lower-case digits.
  public var hex: String { withUnsafeBytes { hexEncoded($0) } }

  public func withUnsafeBytes<Value, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    let wire = (words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian)
    return try Swift.withUnsafeBytes(of: wire, body)
  }

  public static func == (left: Digest, right: Digest) -> Bool { left.words == right.words }

  public func hash(into hasher: inout Hasher) {
    // A word of a SHA-256 is a good hash.
    hasher.combine(words.0)
  }
}

extension Digest: CustomStringConvertible {
  public var description: String { hex }
}
