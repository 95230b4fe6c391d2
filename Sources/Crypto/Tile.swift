/// A tile of a Merkle tree: up to 256 hashes of one level, the level's hash i being the root of the 256^level
/// leaves that begin at i · 256^level. A tile with fewer hashes is a partial one, at the tree's right edge.
///
/// - Source: C2SP tlog-tiles.
public struct Tile: Equatable, Sendable {
  /// Where a tile lies.
  public struct Position: Hashable, Sendable {
    public let level: Int
    /// From left to right.
    public let index: UInt64
    /// How many hashes it has, 1…256.
    public let width: Int

    public init(level: Int, index: UInt64, width: Int) {
      self.level = level
      self.index = index
      self.width = width
    }

    public var isFull: Bool { width == Tile.width }

    /// `tile/0/x001/x234/067`, and `.p/112` after it where it is partial.
    public var path: String {
      var rest = index / 1000
      var groups = Self.digits(index % 1000)
      while rest > 0 {
        groups = "x" + Self.digits(rest % 1000) + "/" + groups
        rest /= 1000
      }
      return "tile/\(level)/\(groups)" + (isFull ? "" : ".p/\(width)")
    }

    private static func digits(_ number: UInt64) -> String {
      number < 10 ? "00\(number)" : number < 100 ? "0\(number)" : "\(number)"
    }

    /// Reads a path; nil for one that ``path`` does not give.
    public init?(path: String) {
      var parts = path.split(separator: "/", omittingEmptySubsequences: false)[...]
      guard parts.popFirst() == "tile", let level = parts.popFirst().flatMap({ Int($0) }) else {
        return nil
      }
      var width = Tile.width
      if let last = parts.last, parts.count >= 2, parts[parts.endIndex - 2].hasSuffix(".p") {
        guard let number = Int(last) else { return nil }
        width = number
        parts.removeLast()
      }
      var index: UInt64 = 0
      for part in parts {
        let part = part.hasSuffix(".p") ? part.dropLast(2) : part
        guard let group = UInt64(part.hasPrefix("x") ? part.dropFirst() : part) else { return nil }
        let (product, overflows) = index.multipliedReportingOverflow(by: 1000)
        let (sum, carries) = product.addingReportingOverflow(group)
        guard !overflows, !carries else { return nil }
        index = sum
      }
      // Of a log of at most 2^63 leaves.
      guard (0..<8).contains(level), (1...Tile.width).contains(width),
        index < 1 << UInt64(55 - 8 * min(level, 6))
      else { return nil }
      self.init(level: level, index: index, width: width)
      // One tile, one path.
      guard self.path == path else { return nil }
    }
  }

  /// Of a full one.
  public static let width = 256

  public let position: Position
  public let hashes: [Digest]

  /// Nil unless the bytes are as many hashes as the position says.
  public init?(_ position: Position, _ bytes: [UInt8]) {
    guard bytes.count == position.width * Digest.byteCount else { return nil }
    self.position = position
    hashes = bytes.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: Digest.byteCount).compactMap {
        Digest(UnsafeRawBufferPointer(rebasing: bytes[$0..<($0 + Digest.byteCount)]))
      }
    }
  }

  init(_ position: Position, _ hashes: [Digest]) {
    self.position = position
    self.hashes = hashes
  }

  /// The root of the perfect tree over them; of a full one.
  public func root(_ hasher: TreeHasher) -> Digest {
    precondition(position.isFull, "a partial tile has no root of its own")
    var hashes = hashes
    while hashes.count > 1 {
      hashes = stride(from: 0, to: hashes.count, by: 2).map {
        hasher.node(hashes[$0], hashes[$0 + 1])
      }
    }
    return hashes[0]
  }

  /// The file's: the hashes one after the other.
  public var bytes: [UInt8] {
    [UInt8](unsafeUninitializedCapacity: hashes.count * Digest.byteCount) { buffer, count in
      let bytes = UnsafeMutableRawBufferPointer(buffer)
      for hash in hashes {
        hash.write(to: bytes, at: count)
        count += Digest.byteCount
      }
    }
  }
}
