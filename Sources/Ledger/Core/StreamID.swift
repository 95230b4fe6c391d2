public import JSON

/// The id of a stream, which is the id of its row: a UUID as two big-endian halves.
///
/// It is not Foundation's UUID, since it must be made as version 7, hash fast, and need no library.
public struct StreamID: Hashable, Sendable {
  public let high: UInt64
  public let low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// A version 7 UUID.
  ///
  /// - Parameters:
  ///   - milliseconds: Milliseconds since 1970 UTC, in 48 bits.
  ///   - random: 74 bits of it are used.
  /// - Source: RFC 9562, section 5.7.
  public init(version7At milliseconds: UInt64, random: (UInt64, UInt64)) {
    high = milliseconds << 16 | 0x7000 | (random.0 & 0x0FFF)
    low = 0x8000_0000_0000_0000 | (random.1 & 0x3FFF_FFFF_FFFF_FFFF)
  }

  /// A version 5 UUID from the first sixteen bytes of the SHA-1 of namespace and name.
  ///
  /// - Source: RFC 9562, section 5.5.
  public init?(version5Digest digest: [UInt8]) {
    guard digest.count >= 16 else { return nil }
    var (high, low): (UInt64, UInt64) = (0, 0)
    for byte in digest[0..<8] { high = high << 8 | UInt64(byte) }
    for byte in digest[8..<16] { low = low << 8 | UInt64(byte) }
    self.high = high & ~0xF000 | 0x5000
    self.low = low & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
  }

  /// The namespace of the streams whose rows have no id: the UUIDv5 of `opsledger` in the URL namespace.
  public static let namespace = StreamID(high: 0x92b8_12ff_fcda_5ec4, low: 0xa524_d529_e92a_7a52)

  /// The sixteen bytes, in network order.
  public var bytes: [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: high >> (56 - 8 * $0)) }
      + (0..<8).map { UInt8(truncatingIfNeeded: low >> (56 - 8 * $0)) }
  }

  @inlinable
  public func hash(into hasher: inout Hasher) {
    hasher.combine(high ^ low)
  }
}

/// The order of the bytes, as in PostgreSQL.
extension StreamID: Comparable {
  @inlinable
  public static func < (a: StreamID, b: StreamID) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

extension StreamID: CustomStringConvertible {
  /// The 36 characters of RFC 9562, in lower case.
  public var description: String {
    let digits = StaticString("0123456789abcdef")
    return String(unsafeUninitializedCapacity: 36) { out in
      var at = 0
      for nibble in 0..<32 {
        if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 {
          out[at] = UInt8(ascii: "-")
          at += 1
        }
        let half = nibble < 16 ? high : low
        out[at] = digits.utf8Start[Int(half >> (60 - 4 * UInt64(nibble & 15)) & 15)]
        at += 1
      }
      return 36
    }
  }

  /// Reads the 36 characters; nil for any other text.
  public init?(_ text: String) {
    var text = text
    let parsed = text.withUTF8 { StreamID(utf8: UnsafeRawBufferPointer($0)) }
    guard let parsed else { return nil }
    self = parsed
  }

  /// Reads the 36 characters; nil for any other text.
  public init?(utf8 bytes: UnsafeRawBufferPointer) {
    guard bytes.count == 36 else { return nil }
    let hyphen = UInt8(ascii: "-")
    guard bytes[8] == hyphen, bytes[13] == hyphen, bytes[18] == hyphen, bytes[23] == hyphen else {
      return nil
    }
    var (high, low): (UInt64, UInt64) = (0, 0)
    var isHex = true
    // Without a branch for each digit, since payloads have more ids than anything else.
    func read(_ range: Range<Int>, into half: inout UInt64) {
      for index in range {
        let byte = bytes[index]
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        let digit = byte &- UInt8(ascii: "0")
        isHex = isHex && (digit < 10 || letter < 6)
        half = half << 4 | UInt64(digit < 10 ? digit : letter &+ 10)
      }
    }
    read(0..<8, into: &high)
    read(9..<13, into: &high)
    read(14..<18, into: &high)
    read(19..<23, into: &low)
    read(24..<36, into: &low)
    guard isHex else { return nil }
    self.init(high: high, low: low)
  }
}

extension JSON {
  /// The id in a string; nil for any other value.
  public var idValue: StreamID? { stringValue.flatMap { StreamID($0) } }
}
