/// The two hashes of a Merkle tree. The first byte differs, so that a leaf cannot pass for a node. One thread uses it at a
/// time.
///
/// - Source: RFC 6962, section 2.1.
public final class TreeHasher {
  private let hasher = SHA256()
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65, alignment: 16)

  public init() { buffer[0] = 1 }

  deinit { buffer.deallocate() }

  /// `SHA-256(0x00 ‖ data)`.
  public func leaf(_ data: UnsafeRawBufferPointer) -> Digest {
    withUnsafeBytes(of: UInt8(0)) { hasher.update($0) }
    return hasher.hash(data)
  }

  public func leaf(_ data: [UInt8]) -> Digest { data.withUnsafeBytes { leaf($0) } }

  /// `SHA-256(0x01 ‖ left ‖ right)`.
  public func node(_ left: Digest, _ right: Digest) -> Digest {
    left.write(to: buffer, at: 1)
    right.write(to: buffer, at: 33)
    return hasher.hash(UnsafeRawBufferPointer(buffer))
  }

  /// The root of a tree over a power of two of hashes.
  func root(ofPerfect hashes: [Digest]) -> Digest {
    var (hashes, count) = (hashes, hashes.count)
    while count > 1 {
      count /= 2
      for index in 0..<count { hashes[index] = node(hashes[2 * index], hashes[2 * index + 1]) }
    }
    return hashes[0]
  }

  /// The root of a tree without leaves: the SHA-256 of no bytes.
  public static let emptyRoot = SHA256.hash([])
}

extension Digest {
  @inline(__always)
  func write(to buffer: UnsafeMutableRawBufferPointer, at offset: Int) {
    buffer.storeBytes(of: words.0.bigEndian, toByteOffset: offset, as: UInt64.self)
    buffer.storeBytes(of: words.1.bigEndian, toByteOffset: offset + 8, as: UInt64.self)
    buffer.storeBytes(of: words.2.bigEndian, toByteOffset: offset + 16, as: UInt64.self)
    buffer.storeBytes(of: words.3.bigEndian, toByteOffset: offset + 24, as: UInt64.self)
  }
}
