import Archive
import Crypto
import Ledger
import Log
import TestSupport
import Testing

@Suite("Merging segments")
struct SegmentMergeTests {
  /// A log cut into segments of a few entries each, with gaps between them covered.
  private func cut(_ log: SampleLog, into store: MemoryStore) throws -> [SegmentReader] {
    var readers: [SegmentReader] = []
    var tree = MerkleFrontier()
    var first = log.entries.lowerBound - 1
    var events = log.events[...]
    while let next = events.first {
      let last = next.entry + 20
      let part = SampleLog(events: Array(events.prefix { $0.entry <= last }))
      events = events.drop { $0.entry <= last }
      let index = try part.write(to: store, first...last, before: tree, frameTextBytes: 1000)
      tree = index.after
      first = last + 1
      readers.append(try store.segment(index))
    }
    return readers
  }

  @Test("gives the file that all lines at once would have given")
  func equal() throws {
    let log = SampleLog(600, seed: 3)
    let (store, other) = (MemoryStore(), MemoryStore())
    let parts = try cut(log, into: store)
    #expect(parts.count > 10)
    let (merged, isNew) = try SegmentWriter.merge(parts, into: store)
    #expect(isNew)
    let writer = try SegmentWriter(
      other, merged.name, identity: SampleLog.identity, before: MerkleFrontier())
    try log.text.withUnsafeBytes { try writer.write($0) }
    #expect(try writer.finish().index == merged)
    #expect(store[merged.name.path] == other[merged.name.path])
    #expect(merged.after == log.tree())
    // Once more, and of merged ones.
    #expect(try SegmentWriter.merge(parts, into: store).isNew == false)
    let (left, _) = try SegmentWriter.merge(Array(parts.prefix(4)), into: store)
    let (right, _) = try SegmentWriter.merge(Array(parts.dropFirst(4)), into: store)
    store[merged.name.path] = nil
    let again = try SegmentWriter.merge([store.segment(left), store.segment(right)], into: store)
    #expect(again.index == merged)
  }

  @Test("is refused where they do not follow each other, or one is damaged, and writes nothing")
  func refused() throws {
    let store = MemoryStore()
    let parts = try cut(SampleLog(200, seed: 4), into: store)
    let count = try store.list("").count
    func refuse(_ segments: [SegmentReader], _ code: OpsError.Code = .storeDiverged) {
      expectRefusal(code) { try SegmentWriter.merge(segments, into: store) }
    }
    refuse([], .badInput)
    refuse([parts[0], parts[2]])
    refuse([parts[1], parts[0]])
    refuse([parts[0], parts[0]])
    // The right numbers, another history.
    let other = MemoryStore()
    let next = parts[0].index.name.entries.upperBound + 1
    let stranger = try SampleLog(1, seed: 9, from: next).write(to: other, next...next + 5)
    refuse([parts[0], try other.segment(stranger)])
    let name = parts[1].index.name.path
    store[name]?[40] ^= 1
    refuse(Array(parts.prefix(3)))
    #expect(try store.list("").count == count)
  }
}
