import Crypto
import JSON
import Ledger
import TestSupport

@testable import Archive
@testable import Log

/// A made-up log: entries with gaps, of one or more events each, of streams that live for a while.
struct SampleLog {
  var events: [LoggedEvent] = []
  static let identity = StreamID(high: 0x0198_7c50_0000_7000, low: 0x8000_0000_0000_0001)

  /// - Parameters:
  ///   - lifetime: How many events lie between a stream's first and last.
  ///   - lacksContent: Whether some is gone as by an erasure, though no event of these erased it.
  init(
    _ count: Int, seed: UInt64, from first: Int64 = 2, lifetime: Int = 20,
    lacksContent: Bool = true
  ) {
    var generator = Generator(seed: seed)
    var streams = (0..<max(1, lifetime / 4)).map { _ in (id: generator.id(), version: Int32(0)) }
    var (entry, index) = (first, Int32(0))
    for number in 0..<count {
      if generator.below(lifetime) < 4 {
        streams[generator.below(streams.count)] = (generator.id(), 0)
      }
      let stream = generator.below(streams.count)
      streams[stream].version += 1
      let content = generator.maybe { $0.object().text }
      let isErased = content != nil && generator.below(10) == 0 && lacksContent
      events.append(
        LoggedEvent(
          entry: entry, index: index, stream: streams[stream].id, version: streams[stream].version,
          type: "step." + generator.pick(["created", "leased", "succeeded"]),
          // The clock runs back now and then.
          recordedAt: Instant(
            micros: 1_795_545_982_000_000 + Int64(number * 1000 - generator.below(5000))),
          actor: generator.pick(["worker/host-1", "cli/ann@host", "tab\there"]),
          cause: generator.maybe { Int64($0.below(1000)) }, command: generator.maybe { $0.id() },
          data: generator.object().text,
          content: isErased ? #"{"summary": null, "a\"b": null}"# : content,
          salt: content == nil || isErased ? nil : generator.bytes(16),
          commitment: isErased ? generator.bytes(32) : nil))
      if generator.flip() {
        index += 1
      } else {
        entry += Int64(1 + generator.below(3))
        index = 0
      }
    }
  }

  init(events: [LoggedEvent]) { self.events = events }

  var text: [UInt8] {
    var text: [UInt8] = []
    for event in events { event.writeLine(to: &text) }
    return text
  }

  /// Up to its last event.
  var entries: ClosedRange<Int64> { (events.first?.entry ?? 1)...(events.last?.entry ?? 1) }

  var leaves: [Digest] {
    let hasher = LeafHasher()
    return events.compactMap { try? hasher.leaf(of: $0) }
  }

  /// The tree over these events, after others.
  func tree(after before: MerkleFrontier = MerkleFrontier()) -> MerkleFrontier {
    let hasher = TreeHasher()
    var tree = before
    for leaf in leaves { tree.append(leaf, hasher) }
    return tree
  }

  @discardableResult
  func write(
    to store: any ObjectStore, _ entries: ClosedRange<Int64>? = nil,
    before: MerkleFrontier = MerkleFrontier(), frameTextBytes: Int = 2000
  ) throws -> SegmentIndex {
    let writer = try SegmentWriter(
      store, SegmentName(entries ?? self.entries), identity: Self.identity, before: before,
      frameTextBytes: frameTextBytes)
    try text.withUnsafeBytes { try writer.write($0) }
    return try writer.finish().index
  }
}

extension Generator {
  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }

  mutating func id() -> StreamID { StreamID(high: next(), low: next()) }
}

extension ObjectStore {
  /// Opens a segment.
  func segment(_ index: SegmentIndex) throws -> SegmentReader {
    try segment(index.name.path)
  }

  func segment(_ path: String) throws -> SegmentReader {
    guard let file = try list(path).first(where: { $0.name == path }) else {
      throw OpsError(.notFound, path)
    }
    return try SegmentReader(self, file)
  }
}

extension MemoryStore {
  /// A file's bytes with another index whose own hashes are right: what anybody can write who can write to the store.
  func forged(_ name: String, _ change: (inout FramedIndex) -> Void) throws -> [UInt8] {
    let file = try FramedFile(self, list(name)[0])
    var index = file.index
    change(&index)
    let frames = Array((self[name] ?? []).prefix(Int(file.indexOffset)))
    let hasher = SHA256()
    hasher.update(frames)
    return frames + index.encode(ending: hasher)
  }
}
