import Crypto
import Host
import Ledger
import TestSupport
import Testing

@testable import Archive
@testable import Log

@Suite("Segments")
struct SegmentTests {
  @Test(
    "give back the lines that went in, and have the roots of their events", arguments: Seeds.some(3)
  )
  func roundTrip(seed: UInt64) throws {
    let log = SampleLog(400, seed: seed)
    let before = SampleLog(77, seed: seed + 1).tree()
    let store = MemoryStore()
    let entries = log.entries.lowerBound - 1...log.entries.upperBound + 9
    let index = try log.write(to: store, entries, before: before)
    let reader = try store.segment(index)
    #expect(reader.index == index)
    #expect(index.frames.count > 10)
    #expect(index.eventCount == 400)
    #expect(index.entryCount == UInt64(Set(log.events.map(\.entry)).count))
    #expect(index.before == before && index.after == log.tree(after: before))
    #expect(index.root == index.after.root(TreeHasher()))
    #expect(index.ownRoot == log.tree().root(TreeHasher()))
    var events: [LoggedEvent] = []
    try reader.lines(of: entries) { _, event in events.append(LoggedEvent(event)) }
    #expect(events == log.events)
    var text: [UInt8] = []
    var leaves: [Digest] = []
    try reader.verify { frame in
      text += frame.text
      leaves += frame.leaves
    }
    #expect(text == log.text)
    #expect(leaves == log.leaves)
  }

  @Test("are read by the lz4 command")
  func command() throws {
    let log = SampleLog(300, seed: 1)
    let store = MemoryStore()
    let bytes = try #require(store[try log.write(to: store).name.path])
    let result = try Subprocess("lz4", ["-dc"], input: bytes).run()
    #expect(result.succeeded)
    #expect(result.output == log.text)
  }

  @Test("give a part of their entries, and read only its frames", arguments: Seeds.some(2))
  func entries(seed: UInt64) throws {
    let log = SampleLog(500, seed: seed)
    let store = MemoryStore()
    let reader = try store.segment(log.write(to: store))
    for range in [5...5, 40...90, 0...1, 100_000...100_001, 2...3] as [ClosedRange<Int64>] {
      var events: [LoggedEvent] = []
      try reader.lines(of: range) { _, event in events.append(LoggedEvent(event)) }
      #expect(events == log.events.filter { range.contains($0.entry) })
    }
    let before = reader.bytesRead
    try reader.lines(of: 5...5) { _, _ in }
    #expect(reader.bytesRead - before < 3000)
  }

  @Test("give the lines of a stream, and read only its frames", arguments: Seeds.some(2))
  func streams(seed: UInt64) throws {
    let log = SampleLog(3000, seed: seed)
    let store = MemoryStore()
    let reader = try store.segment(log.write(to: store))
    let (start, size) = (reader.bytesRead, try #require(store.list("").first).size)
    let streams = Array(Set(log.events.map(\.stream)))
    for stream in streams.prefix(20) {
      var events: [LoggedEvent] = []
      _ = try reader.lines(ArchivedQuery(log.entries, .these([stream]))) { event in
        events.append(LoggedEvent(event))
        return true
      }
      #expect(events == log.events.filter { $0.stream == stream })
    }
    #expect(reader.bytesRead - start < size / 4)
    let now = reader.bytesRead
    _ = try reader.lines(ArchivedQuery(log.entries, .these([SampleLog.identity]))) { _ in
      Issue.record("a stream that is not there")
      return true
    }
    #expect(reader.bytesRead - now < 3000)
  }

  @Test("may have no events, or a single one larger than a frame")
  func extremes() throws {
    let store = MemoryStore()
    let before = SampleLog(3, seed: 5).tree()
    let none = try SampleLog(events: []).write(to: store, 7...90, before: before)
    #expect(none.frames.isEmpty && none.after == before)
    #expect(none.ownRoot == TreeHasher.emptyRoot)
    try store.segment(none).verify()
    var log = SampleLog(3, seed: 5, from: 100)
    log.events[1].data = "\"" + String(repeating: "long ", count: 100_000) + "\""
    let index = try log.write(to: store)
    #expect(index.frames.count == 3)
    try store.segment(index).verify()
  }

  @Test("take lines in the order of the log only, and only of their entries")
  func refusals() throws {
    let log = SampleLog(40, seed: 8)
    let store = MemoryStore()
    var swapped = log
    swapped.events.swapAt(20, 21)
    var twice = log
    twice.events.insert(log.events[7], at: 8)
    // In one frame, and across frames.
    for size in [1, 100_000] {
      for wrong in [swapped, twice] {
        expectRefusal(.inconsistentRow) { try wrong.write(to: store, frameTextBytes: size) }
      }
      expectRefusal(.inconsistentRow) {
        try log.write(to: store, 0...log.events[30].entry - 1, frameTextBytes: size)
      }
    }
    expectRefusal(.inconsistentRow) {
      let writer = try SegmentWriter(
        store, SegmentName(1...9), identity: SampleLog.identity, before: MerkleFrontier())
      try log.text.dropLast().withUnsafeBytes { try writer.write($0) }
      _ = try writer.finish()
    }
    #expect(try store.list("").isEmpty)
  }

  @Test("are put once")
  func once() throws {
    let store = MemoryStore()
    try SampleLog(30, seed: 1).write(to: store, 1...100)
    let bytes = store["segments/00000000000000000001-00000000000000000100.lz4"]
    let writer = try SegmentWriter(
      store, SegmentName(1...100), identity: SampleLog.identity, before: MerkleFrontier())
    try SampleLog(20, seed: 2).text.withUnsafeBytes { try writer.write($0) }
    #expect(try writer.finish().isNew == false)
    #expect(store["segments/00000000000000000001-00000000000000000100.lz4"] == bytes)
  }

  @Test(
    "have one name for the entries that they cover",
    arguments: [
      (1...50_000, 1, "segments/00000000000000000001-00000000000000050000.lz4"),
      (0...EntryNumber.last, 2, "segments/00000000000000000000-00000199999999999999.g2.lz4"),
    ] as [(ClosedRange<Int64>, UInt32, String)])
  func names(entries: ClosedRange<Int64>, generation: UInt32, path: String) {
    let name = SegmentName(entries, generation: generation)
    #expect(name.path == path)
    #expect(SegmentName(path: path) == name)
  }

  @Test(
    "have no other name",
    arguments: [
      "", "segments/", "segments/1-2.lz4", "segments/.lz4", "segments/-.lz4",
      "segments/00000000000000000002-00000000000000000001.lz4",
      "segments/00000000000000000000-00000200000000000000.lz4",
      "segments/00000000000000000000-09223372036854775807.lz4",
      "segments/00000000000000000001-00000000000000000002.g0.lz4",
      "segments/00000000000000000001-00000000000000000002.g1000001.lz4",
      "segments/00000000000000000001-00000000000000000002.g4294967295.lz4",
      "segments/00000000000000000001-00000000000000000002.g1.lz4",
      "segments/00000000000000000001-00000000000000000002.g02.lz4",
      "segments/00000000000000000001-00000000000000000002.g2.g3.lz4",
      "segments/00000000000000000001-00000000000000000002",
      "snapshots/00000000000000000001-00000000000000000002.lz4",
      "segments/0000000000000000000a-00000000000000000002.lz4",
      "segments/00000000000000000001-99999999999999999999.lz4",
    ])
  func noNames(path: String) {
    #expect(SegmentName(path: path) == nil)
  }
}

@Suite("A map of streams")
struct StreamMapTests {
  /// Of frames with some streams each; what is read of it for some hashes.
  private struct Map {
    let bytes: [UInt8]
    let buckets: [StreamMap.Bucket]
    let frameCount: Int

    init(_ frames: [[StreamID]]) {
      var builder = StreamMap.Builder()
      for streams in frames { builder.add(streams.map(StreamMap.hash)) }
      (bytes, buckets) = builder.finish()
      frameCount = frames.count
    }

    func frames(of stream: StreamID) throws -> Set<Int> {
      guard !buckets.isEmpty else { return [] }
      let hash = StreamMap.hash(stream)
      let number = StreamMap.bucket(of: hash, among: buckets.count)
      let start = buckets[..<number].reduce(0) { $0 + Int($1.bytes) }
      let bucket = Array(bytes[start..<(start + Int(buckets[number].bytes))])
      #expect(StreamMap.Bucket(of: bucket) == buckets[number])
      return try StreamMap.frames(
        of: [hash], in: bucket, among: buckets.count, frameCount: frameCount)
    }
  }

  @Test("finds every frame of every stream, and hardly any other", arguments: Seeds.some(1))
  func hits(seed: UInt64) throws {
    var generator = Generator(seed: seed)
    var (falseHits, pairs) = (0, 0)
    for (streams, frameCount) in [(0, 1), (1, 1), (7, 3), (500, 2), (3000, 40), (20_000, 300)] {
      // Counted ids as well as random ones.
      for ids in [
        (0..<streams).map { _ in generator.id() },
        (0..<streams).map { StreamID(high: 0, low: UInt64($0)) },
      ] {
        var frames = [[StreamID]](repeating: [], count: frameCount)
        var places: [StreamID: Set<Int>] = [:]
        for id in ids {
          for _ in 0...generator.below(3) {
            places[id, default: []].insert(generator.below(frameCount))
          }
          for place in places[id] ?? [] { frames[place].append(id) }
        }
        let map = Map(frames)
        let count = frames.reduce(0) { $0 + $1.count }
        pairs += count
        // 15 bits and a frame's number; the quotients of a bucket are 1,024 together at most.
        #expect(map.bytes.count <= 133 * map.buckets.count + count * 24 / 8)
        for id in ids.prefix(60) {
          let found = try map.frames(of: id)
          let expected = places[id] ?? []
          #expect(found.isSuperset(of: expected))
          falseHits += found.count - expected.count
        }
        for _ in 0..<60 { falseHits += try map.frames(of: generator.id()).count }
      }
    }
    #expect(pairs > 40_000)
    // 1,400 looks, each of about 512 in 2^24.
    #expect(falseHits <= 2)
  }

  @Test("that is damaged names no frame that is not there")
  func damaged() {
    var generator = Generator(seed: 7)
    for _ in 0..<2000 {
      let bucket = generator.bytes(generator.below(40))
      let found = try? StreamMap.frames(
        of: [generator.next()], in: bucket, among: 1, frameCount: 5)
      #expect(found?.allSatisfy { $0 < 5 } ?? true)
    }
  }
}
