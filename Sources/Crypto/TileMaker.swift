/// Makes the tiles of a tree from its leaves in order: full tiles as they fill, and on demand the partial tiles.
public struct TileMaker {
  /// Number of leaves.
  public private(set) var size: UInt64 = 0
  /// The right edge: by level, the hashes of the partial tile, 255 at most.
  private var edge: [[Digest]] = []
  private let hasher = TreeHasher()

  /// A tree without leaves.
  public init() {}

  /// Continues a tree from its partial tiles.
  ///
  /// - Returns: Nil unless they are the partial tiles of a tree of that size; see ``edge(of:)``.
  public init?(size: UInt64, partials: [Tile]) {
    let positions = Self.edge(of: size)
    guard partials.count == positions.count else { return nil }
    self.size = size
    for position in positions {
      guard let tile = partials.first(where: { $0.position == position }) else { return nil }
      while edge.count <= position.level { edge.append([]) }
      edge[position.level] = tile.hashes
    }
  }

  /// The positions of the partial tiles of a tree of this size, from the leaves up.
  public static func edge(of size: UInt64) -> [Tile.Position] {
    (0..<8).compactMap { level in
      let hashes = size >> UInt64(8 * level)
      let width = Int(hashes & 255)
      return width == 0 ? nil : Tile.Position(level: level, index: hashes >> 8, width: width)
    }
  }

  /// Adds a leaf, and calls `full` with each tile that it fills.
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
      hash = hasher.root(ofPerfect: hashes)
      edge[level] = []
      edge[level].reserveCapacity(Tile.width)
      try full(Tile(Tile.Position(level: level, index: next - 1, width: Tile.width), hashes))
    }
  }

  /// The current partial tiles, from the leaves up.
  public var partials: [Tile] { Self.edge(of: size).map { Tile($0, edge[$0.level]) } }

  /// The tree's frontier, whose roots are roots over hashes of the partial tiles.
  public var frontier: MerkleFrontier {
    var roots: [Digest] = []
    for hashes in edge.reversed() {
      var rest = hashes[...]
      while !rest.isEmpty {
        let count = 1 << (rest.count.bitWidth - 1 - rest.count.leadingZeroBitCount)
        roots.append(hasher.root(ofPerfect: Array(rest.prefix(count))))
        rest = rest.dropFirst(count)
      }
    }
    guard let frontier = MerkleFrontier(size: size, roots: roots) else {
      preconditionFailure("the edge of a tree has a root for each bit of its size")
    }
    return frontier
  }
}
