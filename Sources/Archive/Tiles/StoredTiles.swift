import Crypto
public import Ledger

/// The full tiles of a store: 32 bytes for each event, from which a proof can be made after the event was archived or
/// erased.
///
/// - Source: C2SP tlog-tiles: `tile/<level>/<index>`, in groups of three digits.
struct StoredTiles {
  static let folder = "tiles/"

  private(set) var positions: Set<Tile.Position> = []
  /// Files in the folder that are not full tiles.
  private(set) var unknownFiles: [String] = []
  /// The number of tiles of level 0 before the first gap in any level.
  private(set) var done: UInt64 = 0
  /// The number of tiles of level 0 if there were no gap.
  private(set) var last: UInt64 = 0

  init(_ files: any ObjectStore) throws(OpsError) {
    for file in try files.list(Self.folder) {
      let position = Tile.Position(path: String(file.name.dropFirst(Self.folder.count)))
      if let position, position.isFull, file.oddity == nil {
        positions.insert(position)
        last = max(last, (position.index + 1) << UInt64(8 * position.level))
      } else {
        unknownFiles.append(file.name)
      }
    }
    while done < last, Self.filled(by: done).allSatisfy(positions.contains) { done += 1 }
  }

  /// The tiles that this tile of level 0 completes: itself, and each higher one whose last part it is.
  static func filled(by index: UInt64) -> [Tile.Position] {
    var positions: [Tile.Position] = []
    for level in 0..<8 {
      positions.append(
        Tile.Position(
          level: level, index: (index + 1) >> UInt64(8 * level) - 1, width: Tile.width))
      guard (index + 1) & (1 << UInt64(8 * (level + 1)) - 1) == 0 else { break }
    }
    return positions
  }

  static func path(_ position: Tile.Position) -> String { folder + position.path }

  static func read(
    _ position: Tile.Position, from files: any ObjectStore
  ) throws(OpsError) -> Tile {
    let name = path(position)
    // Reads a byte more than a tile has, to notice one that is too long.
    let bytes = try files.read(name, 0..<UInt64(position.width * Digest.byteCount + 1))
    guard let tile = Tile(position, bytes) else {
      throw OpsError(
        store: .damaged, "\(name) in \(files.place) is damaged: it is not \(position.width) hashes",
        hint:
          "put the file back from another copy of the store, or remove it: the next push writes it again",
        at: files.place, file: name)
    }
    return tile
  }
}

extension Store {
  /// Writes the missing full tiles of the log up to the end of these segments.
  ///
  /// - Parameter segments: The store's first segments.
  /// - Returns: The number of written tiles.
  public func writeTiles(_ segments: [SegmentList.Segment]) throws(OpsError) -> Int {
    guard let last = segments.last else { return 0 }
    let count = try reader(of: last).index.after.size / UInt64(Tile.width)
    guard count > 0, try !hasTile(count - 1) else { return 0 }
    let tiles = try StoredTiles(files)
    guard tiles.done < count else { return 0 }
    var maker = try self.maker(after: tiles.done)
    var written = 0
    for segment in segments {
      let reader = try reader(of: segment)
      guard reader.index.after.size > maker.size else { continue }
      var at = reader.index.before.size
      try reader.verify { (frame) throws(OpsError) in
        for leaf in frame.leaves {
          if at == maker.size {
            try maker.append(leaf) { (tile) throws(OpsError) in
              // An interrupted push may have written the tile already.
              if try files.put(StoredTiles.path(tile.position), tile.bytes) { written += 1 }
            }
          }
          at += 1
        }
      }
    }
    return written
  }

  private func hasTile(_ index: UInt64) throws(OpsError) -> Bool {
    // A push writes the highest of these tiles last.
    guard let top = StoredTiles.filled(by: index).last else { return false }
    return try files.file(StoredTiles.path(top)) != nil
  }

  /// A maker that continues after so many tiles of level 0. Each hash of the right edge is the root of a tile below it.
  private func maker(after count: UInt64) throws(OpsError) -> TileMaker {
    let size = count * UInt64(Tile.width)
    let hasher = TreeHasher()
    var partials: [Tile] = []
    for position in TileMaker.edge(of: size) {
      var bytes: [UInt8] = []
      for offset in 0..<UInt64(position.width) {
        let below = Tile.Position(
          level: position.level - 1, index: position.index << 8 + offset, width: Tile.width)
        bytes += try StoredTiles.read(below, from: files).root(hasher).bytes
      }
      if let tile = Tile(position, bytes) { partials.append(tile) }
    }
    guard let maker = TileMaker(size: size, partials: partials) else {
      throw OpsError(
        store: .damaged, "the first \(count) tiles of \(files.place) do not form a tree",
        hint: "run `opsledger archive verify`")
    }
    return maker
  }
}
