/// A tile of a Merkle tree: up to 256 hashes of one level. Hash i of a level is the root of the 256^level leaves that begin
/// at i · 256^level. A partial tile has fewer hashes, and lies at the tree's right edge.
///
/// - Source: C2SP tlog-tiles.
public struct Tile: Equatable, Sendable {
  public struct Position: Hashable, Sendable {
    public let level: Int
    /// From left to right.
    public let index: UInt64
    /// Number of hashes, 1…256.
    public let width: Int

    public init(level: Int, index: UInt64, width: Int) {
      self.level = level
      self.index = index
      self.width = width
    }

    public var isFull: Bool { width == Tile.width }

    /// `tile/0/x001/x234/067`, or `tile/0/x001/x234/067.p/112` for a partial tile.
    public var path: String {
      var rest = index / 1000
      var groups = Self.digits(index % 1000)
      while rest > 0 {
        groups = "x" + Self.digits(rest % 1000) + "/" + groups
        rest /= 1000
      }
      return "tile/\(level)/\(groups)" + (isFull ? "" : ".p/\(width)")
    }

    private static func digits(_ number: UInt64) -> String { .init("\(1000 + number)".dropFirst()) }

    /// Nil unless this is a ``path``.
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
      // A log has at most 2^63 leaves.
      guard (0..<8).contains(level), (1...Tile.width).contains(width),
        index < 1 << UInt64(55 - 8 * min(level, 6))
      else { return nil }
      self.init(level: level, index: index, width: width)
      // A tile has one path.
      guard self.path == path else { return nil }
    }
  }

  /// The width of a full tile.
  public static let width = 256

  public let position: Position
  public let hashes: [Digest]

  /// Nil unless the bytes are as many hashes as the position's width.
  public init?(_ position: Position, _ bytes: [UInt8]) {
    guard bytes.count == position.width * Digest.byteCount else { return nil }
    self.position = position
    hashes = bytes.withUnsafeBytes { Digest.all(in: $0) }
  }

  init(_ position: Position, _ hashes: [Digest]) {
    self.position = position
    self.hashes = hashes
  }

  /// The root of the tree over the hashes of a full tile.
  public func root(_ hasher: TreeHasher) -> Digest {
    precondition(position.isFull, "a partial tile has no root")
    return hasher.root(ofPerfect: hashes)
  }

  /// The content of the tile's file: the hashes one after the other.
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
