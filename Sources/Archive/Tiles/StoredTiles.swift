import Crypto
public import Ledger

/// The full tiles of a store: 32 bytes an event for ever, from which any proof can be made after its event was
/// archived or erased.
///
/// - Source: C2SP tlog-tiles: `tile/<level>/<index>`, in groups of three digits.
struct StoredTiles {
  static let folder = "tiles/"

  private(set) var positions: Set<Tile.Position> = []
  /// Files in the folder that are no full tiles.
  private(set) var unknownFiles: [String] = []
  /// How many tiles of level 0 there are from the first on, with all of the levels above that these fill.
  private(set) var done: UInt64 = 0
  /// How many there would be without a gap.
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

  /// The tiles that are full once this one of level 0 is: itself, and above it those of which it is the last.
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
    // A byte more than it has: one that is longer is damaged.
    let bytes = try files.read(name, 0..<UInt64(position.width * Digest.byteCount + 1))
    guard let tile = Tile(position, bytes) else {
      throw OpsError(
        store: .damaged, "\(name) in \(files.place) is damaged: it is not \(position.width) hashes",
        hint: "put it back from another copy, or remove it: the next push writes it again",
        at: files.place, file: name)
    }
    return tile
  }
}

extension Store {
  /// Writes the tiles that the log up to the end of these segments fills, and that are not there yet.
  ///
  /// - Parameter segments: From the store's first one on.
  /// - Returns: How many were written.
  public func writeTiles(_ segments: [SegmentList.Segment]) throws(OpsError) -> Int {
    guard let last = segments.last else { return 0 }
    let count = try reader(of: last).index.after.size / UInt64(Tile.width)
    guard count > 0, try !hasTile(count - 1) else { return 0 }
    let tiles = try StoredTiles(files)
    guard tiles.done < count else { return 0 }
    let writing = TileWriting(files, from: try maker(after: tiles.done))
    for segment in segments {
      let reader = try reader(of: segment)
      guard reader.index.after.size > writing.next else { continue }
      var at = reader.index.before.size
      try reader.verify { (frame) throws(OpsError) in
        for leaf in frame.leaves {
          if at == writing.next { try writing.append(leaf) }
          at += 1
        }
      }
    }
    return writing.written
  }

  private func hasTile(_ index: UInt64) throws(OpsError) -> Bool {
    // The highest that it fills is written last.
    guard let top = StoredTiles.filled(by: index).last else { return false }
    return try files.list(StoredTiles.path(top)).contains { $0.name == StoredTiles.path(top) }
  }

  /// Goes on after so many tiles of level 0: the hashes of the right edge are the roots of the tiles below them.
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
        store: .damaged, "the first \(count) tiles of \(files.place) are not those of a tree",
        hint: "run `opsledger archive verify`")
    }
    return maker
  }
}

/// Tiles on their way into a store.
private final class TileWriting {
  private let files: any ObjectStore
  private var maker: TileMaker
  private(set) var written = 0

  init(_ files: any ObjectStore, from maker: TileMaker) {
    self.files = files
    self.maker = maker
  }

  /// The leaf that is wanted next, counted from 0.
  var next: UInt64 { maker.size }

  func append(_ leaf: Digest) throws(OpsError) {
    try maker.append(leaf) { (tile) throws(OpsError) in
      // One that is there already was written by another push, or before this one was cut short.
      if try files.put(StoredTiles.path(tile.position), tile.bytes) { written += 1 }
    }
  }
}
