/// 32 bytes that stand for others: a SHA-256.
public struct Digest: Hashable, Sendable {
  /// Big-endian, in order: comparing and hashing four words is cheaper than 32 bytes.
  public let words: (UInt64, UInt64, UInt64, UInt64)

  public static let byteCount = 32

  @inlinable public init(words: (UInt64, UInt64, UInt64, UInt64)) { self.words = words }

  /// 32 zero bytes.
  public static let zero = Digest(words: (0, 0, 0, 0))

  /// nil unless there are exactly 32 bytes.
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
    // Any word of a hash is as good a hash.
    hasher.combine(words.0)
  }
}

extension Digest: CustomStringConvertible {
  public var description: String { hex }
}
