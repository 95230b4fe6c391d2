import Crypto
import Ledger
import TestSupport
import Testing

@testable import Archive

@Suite("Tiles of a store")
struct StoredTilesTests {
  /// Two segments of one log, the second of which begins in the middle of a tile.
  private static func store(_ counts: Int...) throws -> (Store, MemoryStore, [Digest]) {
    let files = MemoryStore()
    let store = try Store.begin(files, StoreRecord(identity: SampleLog.identity, title: "sample"))
    var (leaves, tree, first) = ([Digest](), MerkleFrontier(), Int64(1))
    for (number, count) in counts.enumerated() {
      let log = SampleLog(count, seed: UInt64(number), from: first, lacksContent: false)
      try log.write(
        to: files, first...log.entries.upperBound, before: tree, frameTextBytes: 1 << 18)
      leaves += log.leaves
      tree = log.tree(after: tree)
      first = log.entries.upperBound + 1
    }
    return (store, files, leaves)
  }

  private static func names(_ files: MemoryStore) throws -> [String] {
    try files.list(StoredTiles.folder).map(\.name)
  }

  @Test("are those of the whole tree, in one go or several, and after being interrupted")
  func written() throws {
    let (store, files, leaves) = try Self.store(33_000, 33_100)
    let segments = try store.segments().segments
    var expected: [String: [UInt8]] = [:]
    var maker = TileMaker()
    for leaf in leaves {
      maker.append(leaf) { expected["tiles/" + $0.position.path] = $0.bytes }
    }
    #expect(expected["tiles/tile/1/000"] != nil && expected.count == 259)
    #expect(try store.writeTiles(Array(segments[..<1])) == 33_000 / 256)
    #expect(try store.writeTiles(segments) == 259 - 33_000 / 256)
    #expect(try store.writeTiles(segments) == 0)
    func same() throws -> Bool {
      try Set(Self.names(files)) == Set(expected.keys)
        && expected.allSatisfy { files[$0.key] == $0.value }
    }
    #expect(try same())
    // Cut short: after level 0 and before level 1, and some tiles earlier.
    files["tiles/tile/1/000"] = nil
    for lost in 256..<258 { files["tiles/tile/0/\(lost)"] = nil }
    #expect(try StoreVerifier(store).run().faults == [])
    #expect(try store.writeTiles(segments) == 3)
    #expect(try same())
    let report = try StoreVerifier(store).run()
    #expect(report.faults == [] && report.tiles == 259)
  }

  @Test("that are damaged, missing, swapped, strange or of another tree are named")
  func damaged() throws {
    let (store, files, _) = try Self.store(900, 500)
    #expect(try store.writeTiles(store.segments().segments) == 5)
    let names = try Self.names(files)
    #expect(names == (0..<5).map { "tiles/tile/0/00\($0)" })
    func faults(_ change: (MemoryStore) -> Void) throws -> [String] {
      let before = names.map { files[$0] }
      defer { for (name, bytes) in zip(names, before) { files[name] = bytes } }
      change(files)
      return try StoreVerifier(store).run().faults
    }
    #expect(try faults { _ in } == [])
    for name in names {
      let flipped = try faults { files in files[name]?[4000] ^= 1 }
      #expect(flipped.count == 1 && flipped[0].contains(name))
      let short = try faults { files in files[name]?.removeLast() }
      #expect(short.count == 1 && short[0].contains(name))
    }
    let missing = try faults { files in files[names[2]] = nil }
    #expect(missing.count == 1 && missing[0].contains(names[2]))
    let swapped = try faults { files in
      (files[names[0]], files[names[1]]) = (files[names[1]], files[names[0]])
    }
    #expect(swapped.count == 2)
    let strange = ["tiles/tile/0/005.p/120", "tiles/tile/0/5", "tiles/readme"]
    for name in strange { files[name] = [1] }
    let unknownFiles = try StoreVerifier(store).run()
    #expect(unknownFiles.faults.isEmpty)
    #expect(strange.allSatisfy { name in unknownFiles.notes.contains { $0.contains(name) } })
    for name in strange { files[name] = nil }
    files["tiles/tile/0/005"] = [UInt8](repeating: 0, count: 8192)
    let beyond = try faults { _ in }
    #expect(beyond.count == 1 && beyond[0].contains("tile/0/005"))
  }
}
