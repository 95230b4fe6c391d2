import Crypto
import Ledger

/// Compares the tiles of a store with the leaves of its events.
final class TileCheck {
  private let files: any ObjectStore
  private let tiles: StoredTiles
  private var maker = TileMaker()
  private(set) var faults: [String] = []
  private(set) var notes: [String]
  /// The number of tiles that fit the leaves.
  private(set) var sound = 0

  init(_ files: any ObjectStore) throws(OpsError) {
    self.files = files
    tiles = try StoredTiles(files)
    notes = tiles.unknownFiles.map { "\($0) is not a file of a store" }
  }

  func take(_ leaves: [Digest]) throws(OpsError) {
    for leaf in leaves {
      try maker.append(leaf) { (tile) throws(OpsError) in try compare(tile) }
    }
  }

  private func compare(_ tile: Tile) throws(OpsError) {
    let name = StoredTiles.path(tile.position)
    guard tiles.positions.contains(tile.position) else {
      // Tiles end at the last whole log partition.
      let end = (tile.position.index + 1) << UInt64(8 * tile.position.level)
      if end < tiles.last {
        faults.append(
          "\(name) in \(files.place) is missing; put it back, or remove the later tiles")
      } else if end == tiles.last {
        notes.append("\(name) is not written yet; the next push writes it")
      }
      return
    }
    do throws(OpsError) {
      guard try StoredTiles.read(tile.position, from: files) == tile else {
        return faults.append(
          "\(name) in \(files.place) is damaged: its hashes are not those of the events")
      }
      sound += 1
    } catch {
      guard error.code == .storeDiverged || error.code == .notFound else { throw error }
      faults.append(error.message)
    }
  }

  /// - Parameter isWhole: Whether all segments could be read.
  func finish(isWhole: Bool) {
    let end = maker.size / UInt64(Tile.width)
    let beyond = tiles.positions.filter {
      ($0.index + 1) << UInt64(8 * $0.level) > end
    }
    guard !beyond.isEmpty else { return }
    if isWhole {
      faults += beyond.map { "\(StoredTiles.path($0)) is of events that no segment has" }.sorted()
    } else {
      notes.append("\(beyond.count) tiles were not compared with the events, which are damaged")
    }
  }
}
