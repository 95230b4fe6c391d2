/// Takes the leaves of a tree in order and gives its tiles: each full one as it fills, and the partial ones of
/// the right edge when asked.
public struct TileMaker {
  /// Number of leaves.
  public private(set) var size: UInt64
  /// The right edge: by level, the hashes of the tile that is not full yet, 255 at most.
  private var edge: [[Digest]]
  private let hasher = TreeHasher()

  /// A tree without leaves.
  public init() {
    size = 0
    edge = []
  }

  /// Goes on with a tree of which the partial tiles are at hand; see ``edge(of:)``.
  ///
  /// - Returns: Nil unless they are exactly the partial tiles of a tree of that size.
  public init?(size: UInt64, partials: [Tile]) {
    let positions = Self.edge(of: size)
    guard partials.count == positions.count else { return nil }
    self.size = size
    edge = []
    for position in positions {
      guard let tile = partials.first(where: { $0.position == position }) else { return nil }
      while edge.count <= position.level { edge.append([]) }
      edge[position.level] = tile.hashes
    }
  }

  /// The partial tiles of a tree of this size, from the leaves up.
  public static func edge(of size: UInt64) -> [Tile.Position] {
    (0..<8).compactMap { level in
      let hashes = size >> UInt64(8 * level)
      let width = Int(hashes & 255)
      return width == 0 ? nil : Tile.Position(level: level, index: hashes >> 8, width: width)
    }
  }

  /// Adds a leaf, and hands over the tiles that it fills.
  public mutating func append<E: Error>(
    _ leaf: Digest, full: (Tile) throws(E) -> Void
  ) throws(E) {
    size += 1
    var hash = leaf
    for level in 0..<8 {
      if edge.count == level {
        edge.append([])
        edge[level].reserveCapacity(Tile.width)
      }
      edge[level].append(hash)
      guard edge[level].count == Tile.width else { return }
      let hashes = edge[level]
      let next = size >> UInt64(8 * (level + 1))
      hash = root(of: hashes)
      edge[level] = []
      edge[level].reserveCapacity(Tile.width)
      try full(Tile(Tile.Position(level: level, index: next - 1, width: Tile.width), hashes))
    }
  }

  /// The partial tiles as they now are, from the leaves up.
  public var partials: [Tile] {
    Self.edge(of: size).map { Tile($0, edge[$0.level]) }
  }

  /// The tree's frontier, whose roots lie within the partial tiles or are hashes of them.
  public var frontier: MerkleFrontier {
    var roots: [Digest] = []
    for hashes in edge.reversed() {
      var rest = hashes[...]
      while !rest.isEmpty {
        let count = 1 << (rest.count.bitWidth - 1 - rest.count.leadingZeroBitCount)
        roots.append(root(of: Array(rest.prefix(count))))
        rest = rest.dropFirst(count)
      }
    }
    guard let frontier = MerkleFrontier(size: size, roots: roots) else {
      preconditionFailure("the edge of a tree has a root for each bit of its size")
    }
    return frontier
  }

  /// The root of a perfect tree over these.
  private func root(of hashes: [Digest]) -> Digest {
    var hashes = hashes
    var count = hashes.count
    while count > 1 {
      for index in 0..<(count / 2) {
        hashes[index] = hasher.node(hashes[2 * index], hashes[2 * index + 1])
      }
      count /= 2
    }
    return hashes[0]
  }
}
