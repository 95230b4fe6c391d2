/// The state that a Merkle tree needs to continue: its size, and the roots of its perfect subtrees, one for each bit of
/// the size, the largest first.
///
/// - Source: RFC 6962, section 2.1.
public struct MerkleFrontier: Equatable, Sendable {
  /// Number of leaves.
  public private(set) var size: UInt64 = 0
  /// From left to right.
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
    // No disk can hold 2^64 events.
    precondition(size < .max, "the tree is full")
    grow(leaf, level: 0, hasher)
  }

  /// Adds 2^level leaves by the root of their perfect subtree.
  ///
  /// - Returns: False, and adds nothing, unless the tree's size is a multiple of 2^level.
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
    // As in an addition: for each 1 that the carry passes, a subtree to the left becomes part of a larger one.
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
    withUnsafeBytes(of: size.bigEndian) { Array($0) } + roots.flatMap(\.bytes)
  }

  /// Nil unless these are the bytes of a frontier.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count >= 8, (bytes.count - 8).isMultiple(of: Digest.byteCount) else { return nil }
    let (size, roots) = bytes.withUnsafeBytes { bytes in
      (
        UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
        Digest.all(in: UnsafeRawBufferPointer(rebasing: bytes[8...]))
      )
    }
    self.init(size: size, roots: roots)
  }
}
