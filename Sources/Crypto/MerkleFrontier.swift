/// What must be kept of a Merkle tree to go on with it: how many leaves it has, and the roots of the perfect
/// subtrees that they fill, one for each bit of that number, the largest first.
///
/// - Source: RFC 6962, section 2.1.
public struct MerkleFrontier: Equatable, Sendable {
  /// Number of leaves.
  public private(set) var size: UInt64 = 0
  /// At most 64, from left to right.
  public private(set) var roots: [Digest] = []

  /// A tree without leaves.
  public init() {}

  /// Nil unless there is one root for each bit of the size.
  public init?(size: UInt64, roots: [Digest]) {
    guard roots.count == size.nonzeroBitCount else { return nil }
    self.size = size
    self.roots = roots
  }

  public mutating func append(_ leaf: Digest, _ hasher: TreeHasher) {
    // It can grow for ever: 2^64 events are beyond every disk.
    precondition(size < .max, "a tree that is full")
    grow(leaf, level: 0, hasher)
  }

  /// Adds 2^level leaves at once, by the root of the perfect subtree that they make.
  ///
  /// - Returns: False, and nothing was added, where the tree's size is no multiple of that.
  public mutating func append(subtree root: Digest, level: Int, _ hasher: TreeHasher) -> Bool {
    guard (0..<64).contains(level), size.trailingZeroBitCount >= level,
      !size.addingReportingOverflow(1 << UInt64(level)).overflow
    else { return false }
    grow(root, level: level, hasher)
    return true
  }

  private mutating func grow(_ subtree: Digest, level: Int, _ hasher: TreeHasher) {
    var root = subtree
    var bit = UInt64(1) << UInt64(level)
    size &+= bit
    // As in addition: each 1 that the carry passes is a subtree to the left that becomes part of a larger one.
    while size & bit == 0, let left = roots.popLast() {
      root = hasher.node(left, root)
      bit <<= 1
    }
    roots.append(root)
  }

  /// The Merkle Tree Hash of all leaves.
  public func root(_ hasher: TreeHasher) -> Digest {
    guard var root = roots.last else { return TreeHasher.emptyRoot }
    for left in roots.dropLast().reversed() { root = hasher.node(left, root) }
    return root
  }

  /// The size, 8 bytes big-endian, then the roots.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 + roots.count * Digest.byteCount)
    withUnsafeBytes(of: size.bigEndian) { bytes.append(contentsOf: $0) }
    for root in roots { bytes.append(contentsOf: root.bytes) }
    return bytes
  }

  /// Nil unless these are the bytes of a frontier.
  public init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= 8 else { return nil }
    let size = UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
    guard bytes.count == 8 + size.nonzeroBitCount * Digest.byteCount else { return nil }
    var roots: [Digest] = []
    for start in stride(from: 8, to: bytes.count, by: Digest.byteCount) {
      guard
        let root = Digest(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + 32)]))
      else { return nil }
      roots.append(root)
    }
    self.init(size: size, roots: roots)
  }

  public init?(_ bytes: [UInt8]) {
    guard let frontier = bytes.withUnsafeBytes({ MerkleFrontier($0) }) else { return nil }
    self = frontier
  }
}
