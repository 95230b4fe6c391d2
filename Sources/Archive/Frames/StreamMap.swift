import Crypto
import Ledger

/// The frames of a file that have lines of a stream: pairs of a stream and a frame, about 26 bits each, in buckets by
/// the stream's hash. A lookup reads one bucket, one or two kilobytes in a file of any size. It finds every frame of the
/// stream; a wrong frame is found once in 30,000 lookups.
///
/// A bucket begins with the number of its pairs as u32. Each pair follows, in order: the difference to the hash before
/// (24 bits of the hash, after the bits of the bucket's number), Rice-coded with 14 bits (the quotient in ones, a zero,
/// the remainder); and the frame's number, in as many bits as the last frame's number needs. The most significant bit
/// comes first, and zeros fill the last byte.
///
/// - Source: the coding of differences is that of a Golomb-coded set: Putze, Sanders, Singler, "Cache-, Hash- and
///   Space-Efficient Bloom Filters".
enum StreamMap {
  /// A bucket, as the index describes it.
  struct Bucket: Equatable, Sendable {
    var bytes: UInt32
    /// The first eight bytes of its SHA-256.
    var check: UInt64

    static let wireBytes = 12
  }

  /// The average number of pairs in a bucket.
  private static let pairsMax = 512
  private static let bucketBitsMax = 16
  static let hashBits = 24
  static let riceBits = 14
  /// A frame's number has 24 bits at most.
  private static let frameMask: UInt64 = (1 << 24) - 1

  /// The bits of a hash that distinguish the streams of a bucket.
  private static func hashBits(of hash: UInt64, after bucketBits: Int) -> UInt64 {
    (hash << UInt64(bucketBits)) >> UInt64(64 - hashBits)
  }

  /// The finalizer of MurmurHash3 over both halves: spreads random ids and counted ids alike.
  static func hash(_ stream: StreamID) -> UInt64 { mixed(mixed(stream.high) ^ stream.low) }

  private static func mixed(_ value: UInt64) -> UInt64 {
    var value = value
    value = (value ^ value >> 33) &* 0xFF51_AFD7_ED55_8CCD
    value = (value ^ value >> 33) &* 0xC4CE_B9FE_1A85_EC53
    return value ^ value >> 33
  }

  struct Builder {
    /// 40 bits of a hash and 24 of a frame's number, so that sorting is cheap.
    private var pairs: [UInt64] = []
    private var frameCount = 0

    /// Adds the next frame.
    ///
    /// - Parameter hashes: The hash of each of its streams, once.
    mutating func add(_ hashes: [UInt64]) {
      let frame = UInt64(frameCount)
      for hash in hashes { pairs.append(hash & ~StreamMap.frameMask | frame) }
      frameCount += 1
    }

    func finish() -> (bytes: [UInt8], buckets: [Bucket]) {
      guard !pairs.isEmpty else { return ([], []) }
      var bits = 0
      while pairs.count >> bits > StreamMap.pairsMax, bits < StreamMap.bucketBitsMax { bits += 1 }
      let sorted = pairs.sorted()
      var (bytes, buckets): ([UInt8], [Bucket]) = ([], [])
      var start = 0
      for number in 0..<(1 << bits) {
        var end = start
        while end < sorted.count, sorted[end].prefix(bits) == UInt64(number) { end += 1 }
        let bucket = encode(sorted[start..<end], bits)
        buckets.append(Bucket(of: bucket))
        bytes += bucket
        start = end
      }
      return (bytes, buckets)
    }

    private func encode(_ pairs: ArraySlice<UInt64>, _ bits: Int) -> [UInt8] {
      var writer = BitWriter()
      writer.put(UInt64(pairs.count), 32)
      let frameBits = StreamMap.bits(ofFrames: frameCount)
      var last: UInt64 = 0
      for pair in pairs {
        let hash = StreamMap.hashBits(of: pair, after: bits)
        let difference = hash - last
        last = hash
        for _ in 0..<(difference >> UInt64(StreamMap.riceBits)) { writer.put(1, 1) }
        writer.put(difference & (1 << UInt64(StreamMap.riceBits) - 1), StreamMap.riceBits + 1)
        writer.put(pair & StreamMap.frameMask, frameBits)
      }
      return writer.finish()
    }
  }

  private static func bits(ofFrames count: Int) -> Int {
    count <= 1 ? 0 : Int.bitWidth - (count - 1).leadingZeroBitCount
  }

  /// The number of a hash's bucket.
  static func bucket(of hash: UInt64, among count: Int) -> Int {
    Int(hash.prefix(count.trailingZeroBitCount))
  }

  /// The frames that a bucket names for these hashes.
  ///
  /// - Throws: If the bytes are not a bucket of a file with so many frames.
  static func frames(
    of hashes: [UInt64], in bucket: [UInt8], among buckets: Int, frameCount: Int
  ) throws(Damage) -> Set<Int> {
    let bucketBits = buckets.trailingZeroBitCount
    let wanted = Set(hashes.map { hashBits(of: $0 & ~frameMask, after: bucketBits) })
    let frameBits = bits(ofFrames: frameCount)
    var reader = BitReader(bucket)
    var found: Set<Int> = []
    var hash: UInt64 = 0
    guard let count = reader.take(32) else { throw Damage("its map of streams is incomplete") }
    for _ in 0..<count {
      guard let quotient = reader.ones(), let rest = reader.take(riceBits),
        let frame = reader.take(frameBits), Int(frame) < frameCount
      else { throw Damage("its map of streams cannot be read") }
      hash &+= quotient << UInt64(riceBits) | rest
      if wanted.contains(hash) { found.insert(Int(frame)) }
    }
    return found
  }
}

extension StreamMap.Bucket {
  init(of bytes: [UInt8]) {
    self.init(
      bytes: UInt32(truncatingIfNeeded: bytes.count), check: SHA256.hash(bytes).words.0)
  }
}

extension UInt64 {
  /// Its first bits.
  fileprivate func prefix(_ bits: Int) -> UInt64 { bits == 0 ? 0 : self >> UInt64(64 - bits) }
}

private struct BitWriter {
  private var bytes: [UInt8] = []
  private var (pending, pendingBits): (UInt64, Int) = (0, 0)

  mutating func put(_ value: UInt64, _ bits: Int) {
    pending = pending << UInt64(bits) | value
    pendingBits += bits
    while pendingBits >= 8 {
      pendingBits -= 8
      bytes.append(UInt8(truncatingIfNeeded: pending >> UInt64(pendingBits)))
    }
  }

  mutating func finish() -> [UInt8] {
    if pendingBits > 0 { put(0, 8 - pendingBits) }
    return bytes
  }
}

private struct BitReader {
  private let bytes: [UInt8]
  /// In bits.
  private var at = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// - Returns: Nil if fewer bits are left.
  mutating func take(_ bits: Int) -> UInt64? {
    guard at + bits <= bytes.count * 8 else { return nil }
    var value: UInt64 = 0
    for _ in 0..<bits {
      value = value << 1 | UInt64(bytes[at >> 3] >> UInt8(7 - at & 7) & 1)
      at += 1
    }
    return value
  }

  /// Counts the ones before the next zero, and skips that zero.
  mutating func ones() -> UInt64? {
    var count: UInt64 = 0
    while let bit = take(1) {
      if bit == 0 { return count }
      count += 1
    }
    return nil
  }
}
