import Crypto
import Testing

/// Merkle trees as RFC 6962 defines them, word for word and in as many steps.
private struct DefinedTree {
  let leaves: [Digest]
  private let hasher = TreeHasher()

  init(_ leaves: [Digest]) { self.leaves = leaves }

  func root(_ range: Range<Int>) -> Digest {
    if range.isEmpty { return TreeHasher.emptyRoot }
    if range.count == 1 { return leaves[range.lowerBound] }
    var split = 1
    while split * 2 < range.count { split *= 2 }
    return hasher.node(
      root(range.lowerBound..<(range.lowerBound + split)),
      root((range.lowerBound + split)..<range.upperBound))
  }

  /// What a tree of so many leaves has as its tile's hashes.
  func hashes(_ position: Tile.Position) -> [Digest] {
    let span = 1 << (8 * position.level)
    return (0..<position.width).map {
      let first = (Int(position.index) * 256 + $0) * span
      return root(first..<(first + span))
    }
  }
}

@Suite("Merkle trees")
struct MerkleTests {
  static let inputs = [
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
  ]
  static let roots = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ]

  /// Leaf i holds the digits of i.
  static func leaves(_ count: Int) -> [Digest] {
    let hasher = TreeHasher()
    return (0..<count).map { hasher.leaf(Array(String($0).utf8)) }
  }

  @Test("the published roots")
  func published() throws {
    let hasher = TreeHasher()
    var frontier = MerkleFrontier()
    var tiles = TileMaker()
    #expect(frontier.root(hasher).hex == Self.roots[0])
    for (input, root) in zip(Self.inputs, Self.roots.dropFirst()) {
      let leaf = hasher.leaf(try #require(hexDecoded(input)))
      frontier.append(leaf, hasher)
      tiles.append(leaf) { (_) in }
      #expect(frontier.root(hasher).hex == root)
      #expect(tiles.frontier == frontier)
    }
  }

  @Test("a tree of 70,000 leaves has the known root and these tiles")
  func large() {
    let leaves = Self.leaves(70_000)
    let tree = DefinedTree(leaves)
    let hasher = TreeHasher()
    var frontier = MerkleFrontier()
    var tiles = TileMaker()
    var full: [Tile] = []
    for leaf in leaves {
      frontier.append(leaf, hasher)
      tiles.append(leaf) { full.append($0) }
    }
    let root = "1a4cdfcb66374a0c0dcbef49acbd4976d13ee864fb3cb241fc943cad04f02f7e"
    #expect(frontier.root(hasher).hex == root)
    #expect(tiles.frontier == frontier)
    #expect(full.filter { $0.position.level == 0 }.count == 273)
    #expect(full.filter { $0.position.level == 1 }.count == 1)
    #expect(
      tiles.partials.map(\.position.path) == [
        "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1",
      ])
    for tile in full + tiles.partials {
      #expect(tile.hashes == tree.hashes(tile.position))
      #expect(Tile(tile.position, tile.bytes) == tile)
    }
  }

  @Test("every size has the defined root, and goes on from what was kept of it")
  func everySize() throws {
    let leaves = Self.leaves(520)
    let tree = DefinedTree(leaves)
    let hasher = TreeHasher()
    var frontier = MerkleFrontier()
    var tiles = TileMaker()
    for size in 0...520 {
      #expect(frontier.root(hasher) == tree.root(0..<size))
      #expect(frontier.size == UInt64(size))
      frontier = try #require(MerkleFrontier(frontier.bytes))
      tiles = try #require(TileMaker(size: UInt64(size), partials: tiles.partials))
      #expect(tiles.frontier == frontier)
      if size < 520 {
        frontier.append(leaves[size], hasher)
        tiles.append(leaves[size]) { tile in #expect(tile.hashes == tree.hashes(tile.position)) }
      }
    }
  }

  @Test("perfect subtrees can be added where they fit, and only there")
  func subtrees() {
    let leaves = Self.leaves(600)
    let tree = DefinedTree(leaves)
    let hasher = TreeHasher()
    for start in [0, 1, 2, 4, 12, 256, 300, 512] {
      for level in 0...6 {
        var frontier = MerkleFrontier()
        for leaf in leaves[..<start] { frontier.append(leaf, hasher) }
        let before = frontier
        let end = start + 1 << level
        let fits = start % (1 << level) == 0
        let added = frontier.append(subtree: tree.root(start..<end), level: level, hasher)
        #expect(added == fits)
        #expect(added ? frontier.root(hasher) == tree.root(0..<end) : frontier == before)
      }
    }
  }

  @Test("bytes that are no frontier, and tiles that are not the edge, are refused")
  func refused() {
    let hasher = TreeHasher()
    var frontier = MerkleFrontier()
    var tiles = TileMaker()
    for leaf in Self.leaves(300) {
      frontier.append(leaf, hasher)
      tiles.append(leaf) { (_) in }
    }
    for count in 0..<frontier.bytes.count {
      #expect(MerkleFrontier(Array(frontier.bytes.prefix(count))) == nil)
    }
    #expect(MerkleFrontier(frontier.bytes + [0]) == nil)
    #expect(MerkleFrontier(size: 301, roots: frontier.roots + frontier.roots) == nil)
    #expect(TileMaker(size: 300, partials: Array(tiles.partials.dropLast())) == nil)
    #expect(TileMaker(size: 301, partials: tiles.partials) == nil)
    #expect(TileMaker(size: 0, partials: tiles.partials) == nil)
    #expect(Tile(tiles.partials[0].position, tiles.partials[0].bytes + [0]) == nil)
    // The most that eight bytes can say.
    let full = [UInt8](repeating: 255, count: 8)
    #expect(MerkleFrontier(full) == nil)
    #expect(MerkleFrontier(full + [UInt8](repeating: 0, count: 64 * 32)) != nil)
  }

  @Test(
    "a tile has one path",
    arguments: [
      (0, 0, 256, "tile/0/000"), (0, 999, 1, "tile/0/999.p/1"), (1, 1000, 256, "tile/1/x001/000"),
      (0, 1_234_067, 256, "tile/0/x001/x234/067"), (2, 5, 255, "tile/2/005.p/255"),
      (3, 1_000_000_007, 12, "tile/3/x001/x000/x000/007.p/12"),
    ] as [(Int, UInt64, Int, String)])
  func path(level: Int, index: UInt64, width: Int, path: String) {
    let position = Tile.Position(level: level, index: index, width: width)
    #expect(position.path == path)
    #expect(Tile.Position(path: path) == position)
  }

  @Test(
    "what is no tile's path is refused",
    arguments: [
      "", "tile", "tile/0", "tile/0/", "tile/0/0", "tile/0/1000", "tile/0/001/", "tile/0/x000/001",
      "tile/0/001.p/0", "tile/0/001.p/256", "tile/0/001.p", "tile/-1/001", "tile/8/001",
      "tile/0/-01",
      "tile/00/001", "tile/0/001.p/01", "tile/0/x001.p/001", "tile/0/x99999999999999999999/001",
      "tile/0/001/x001",
      "checkpoint", "tile/entries/001", "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ])
  func notAPath(path: String) {
    #expect(Tile.Position(path: path) == nil)
  }
}
