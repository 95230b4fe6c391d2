import Ledger

/// Which streams a frame has lines of, in about 17.5 bits a stream: one that is there is always found, one that
/// is not is found once in 65,536 times. A frame that is read for nothing costs as much as thousands of these.
///
/// A Golomb-coded set: of n streams, each stream's hash is scaled to 0 ..< n · 2^16, and the differences
/// between the sorted values are Rice-coded with 16 bits: the quotient as so many ones and a zero, then the
/// remainder, most significant bits first.
///
/// - Source: Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters"; the same code is in BIP 158.
struct StreamFilter: Equatable, Sendable {
  static let bits = 16

  /// The number of streams as u32, then the code, with zeros up to a whole byte.
  let bytes: [UInt8]

  init(bytes: [UInt8]) { self.bytes = bytes }

  /// - Parameter hashes: Of each stream once; see ``hash(_:)``.
  init(_ hashes: some Collection<UInt64>) {
    let count = hashes.count
    var wire = WireWriter()
    wire.put(UInt32(truncatingIfNeeded: count))
    var (pending, pendingBits) = (UInt64(0), 0)
    func put(_ value: UInt64, _ bits: Int) {
      pending = pending << UInt64(bits) | value
      pendingBits += bits
      while pendingBits >= 8 {
        pendingBits -= 8
        wire.put(UInt8(truncatingIfNeeded: pending >> UInt64(pendingBits)))
      }
    }
    var last: UInt64 = 0
    for value in hashes.map({ Self.scaled($0, count) }).sorted() {
      let difference = value - last
      last = value
      for _ in 0..<(difference >> UInt64(Self.bits)) { put(1, 1) }
      put(difference & (1 << UInt64(Self.bits) - 1), Self.bits + 1)
    }
    if pendingBits > 0 { put(0, 8 - pendingBits) }
    bytes = wire.bytes
  }

  /// The finalizer of MurmurHash3 over both halves: random ids and counted ones spread alike.
  static func hash(_ stream: StreamID) -> UInt64 { mixed(mixed(stream.high) ^ stream.low) }

  private static func mixed(_ value: UInt64) -> UInt64 {
    var value = value
    value = (value ^ value >> 33) &* 0xFF51_AFD7_ED55_8CCD
    value = (value ^ value >> 33) &* 0xC4CE_B9FE_1A85_EC53
    return value ^ value >> 33
  }

  private static func scaled(_ hash: UInt64, _ count: Int) -> UInt64 {
    hash.multipliedFullWidth(by: UInt64(count) << UInt64(bits)).high
  }

  /// Whether the frame may have lines of one of these; true where the filter cannot be read.
  func mayHold(_ hashes: some Collection<UInt64>) -> Bool {
    guard bytes.count >= 4 else { return true }
    let count = bytes[..<4].reduce(0) { $0 << 8 | Int($1) }
    if count == 0 { return false }
    let wanted = hashes.map { Self.scaled($0, count) }.sorted()
    var code = BitReader(bytes: bytes, at: 32)
    var next = 0
    var value: UInt64 = 0
    for _ in 0..<count {
      guard let difference = code.rice() else { return true }
      value &+= difference
      while next < wanted.count, wanted[next] < value { next += 1 }
      if next == wanted.count { return false }
      if wanted[next] == value { return true }
    }
    return false
  }

  private struct BitReader {
    let bytes: [UInt8]
    /// In bits.
    var at: Int

    private mutating func bit() -> UInt64? {
      guard at < bytes.count * 8 else { return nil }
      defer { at += 1 }
      return UInt64(bytes[at >> 3] >> UInt8(7 - at & 7) & 1)
    }

    mutating func rice() -> UInt64? {
      var quotient: UInt64 = 0
      while true {
        guard let bit = bit() else { return nil }
        if bit == 0 { break }
        quotient += 1
      }
      guard at + StreamFilter.bits <= bytes.count * 8 else { return nil }
      // Up to seven bits of the first byte, two whole ones after it.
      var window: UInt64 = 0
      for index in 0..<3 {
        let byte = at >> 3 + index
        window = window << 8 | UInt64(byte < bytes.count ? bytes[byte] : 0)
      }
      let remainder = window >> UInt64(8 - at & 7) & (1 << UInt64(StreamFilter.bits) - 1)
      at += StreamFilter.bits
      return quotient << UInt64(StreamFilter.bits) | remainder
    }
  }
}
