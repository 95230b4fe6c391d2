import Ledger
import TestSupport
import Testing

@testable import Archive
@testable import Log

@Suite("A log that is read from a store")
struct StoredLogTests {
  /// Two segments of several frames, and the log that they hold.
  private struct Small {
    let store = MemoryStore()
    let log = SampleLog(80, seed: 5)
    private(set) var segments: [SegmentIndex] = []

    init() throws {
      let middle = log.events[40].entry
      let parts = [
        SampleLog(events: log.events.filter { $0.entry <= middle }),
        SampleLog(events: log.events.filter { $0.entry > middle }),
      ]
      let first = try parts[0].write(to: store, 1...middle)
      let second = try parts[1].write(
        to: store, (middle + 1)...log.entries.upperBound, before: first.after)
      segments = [first, second]
      try #require(first.frames.count > 1 && second.frames.count > 1)
      _ = try Store.begin(store, StoreRecord(identity: SampleLog.identity, title: "sample"))
    }

    func merge() throws(OpsError) {
      var readers: [SegmentReader] = []
      for segment in segments {
        readers.append(
          try SegmentReader(store, store.list(segment.name.path)[0]))
      }
      _ = try SegmentWriter.merge(readers, into: store)
      for segment in segments { try store.remove(segment.name.path) }
    }
  }

  @Test(
    "goes on where its files are merged meanwhile, and hands each event over once",
    arguments: [0, 1, 39, 60])
  func merged(at count: Int) throws {
    let small = try Small()
    let log = StoredLog(small.store)
    var read: [String] = []
    try log.events(ArchivedQuery(0...Int64.max)) { (event) throws(OpsError) in
      if read.count == count { try small.merge() }
      read.append("\(event.entry).\(event.index)")
      return true
    }
    #expect(read == small.log.events.map { "\($0.entry).\($0.index)" })
    read = []
    try log.eventsBackwards(ArchivedQuery(0...Int64.max)) { (event) throws(OpsError) in
      read.append("\(event.entry).\(event.index)")
      return true
    }
    #expect(read == small.log.events.reversed().map { "\($0.entry).\($0.index)" })
  }

  @Test("says which file is gone where none replaced it")
  func missing() throws {
    let small = try Small()
    let log = StoredLog(small.store)
    _ = try log.bytes()
    let path = small.segments[1].name.path
    try small.store.remove(path)
    let error = #expect(throws: OpsError.self) {
      try log.events(ArchivedQuery(0...Int64.max)) { (_) throws(OpsError) in true }
    }
    #expect(error?.code == .notFound || error?.code == .storeDiverged)
  }
}
