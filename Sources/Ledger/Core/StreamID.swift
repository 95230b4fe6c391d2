/// The id of a stream, which is the id of its row: a UUID as two big-endian halves.
///
/// Our own type and not Foundation's: it must be made as version 7, hash fast, and cost no library.
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
  ///   - milliseconds: Since 1970 UTC; 48 bits are used.
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

  /// The namespace of the streams of rows that have no id of their own: the UUIDv5 of `opsledger`
  /// in the URL namespace.
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

  /// Reads the 36 characters; nil for anything else.
  public init?(_ text: String) {
    var text = text
    let parsed = text.withUTF8 { StreamID(utf8: UnsafeRawBufferPointer($0)) }
    guard let parsed else { return nil }
    self = parsed
  }

  /// Reads the 36 characters; nil for anything else.
  public init?(utf8 bytes: UnsafeRawBufferPointer) {
    guard bytes.count == 36 else { return nil }
    var (high, low): (UInt64, UInt64) = (0, 0)
    var nibble = 0
    for (index, byte) in bytes.enumerated() {
      if index == 8 || index == 13 || index == 18 || index == 23 {
        guard byte == UInt8(ascii: "-") else { return nil }
        continue
      }
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      default: return nil
      }
      if nibble < 16 { high = high << 4 | UInt64(digit) } else { low = low << 4 | UInt64(digit) }
      nibble += 1
    }
    self.init(high: high, low: low)
  }
}
