import Crypto
import Ledger
import OpsLoop
import Replay
import TestLedgers
import TestSupport
import Testing

@testable import Archive
@testable import Log

/// What a store holds is believed for what its bytes prove.
@Suite(.enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct UntrustedStoreTests {
  private func work(_ ledger: TestLedger) throws {
    _ = try ledger.engine().emit(
      AgentEvent.Report(type: "scout:find", data: #"{"summary": "x", "source": "scout"}"#))
    _ = try ledger.engine().heartbeat(drain: true)
  }

  private func files(of store: MemoryStore) throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for file in try store.list("") { files[file.name] = store[file.name] }
    return files
  }

  private func copy(_ store: MemoryStore) throws -> MemoryStore {
    let copy = MemoryStore()
    for (name, bytes) in try files(of: store) { copy[name] = bytes }
    return copy
  }

  @discardableResult
  private func restore(_ ledger: TestLedger, from stores: [MemoryStore]) throws -> RestoreReport {
    try Restorer(
      Session.Target(url: ledger.adminURL, application: "test"), stores, actor: "test"
    ).run()
  }

  /// What a copy of the database records goes into the store.
  private func goOn(in files: MemoryStore, _ body: (TestLedger) throws -> Void) throws {
    try TestLedger.withEmptyDatabase { other in
      try restore(other, from: [files])
      try body(other)
      _ = try Pusher(try other.session(), files).run()
    }
  }

  private func expectNamed(
    _ ledger: TestLedger, _ files: MemoryStore, _ what: String
  ) throws {
    let error = #expect(throws: OpsError.self) { try Pusher(try ledger.session(), files).run() }
    #expect(error?.code == .storeDiverged)
    #expect(error?.message.contains(what) == true, "\(error?.message ?? "")")
    try work(ledger)
  }

  @Test("a file by its name alone is named, and stops nothing", arguments: [0, 5, 40])
  func byName(bytes: Int) throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      try work(ledger)
      let lastEntry = try Pusher(try ledger.session(), files).run().lastEntry
      let name = SegmentName((lastEntry + 1)...(lastEntry + 72)).path
      files[name] = Array(repeating: 7, count: bytes)
      try expectNamed(ledger, files, name)
      files[name] = nil
      _ = try Pusher(try ledger.session(), files).run()
    }
  }

  @Test("a segment by other bytes is named, and stops nothing")
  func replaced() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      var names: [SegmentName] = []
      for _ in 0..<3 {
        try work(ledger)
        names += try Pusher(try ledger.session(), files).run().segments
      }
      let last = names[2].path
      let honest = files[last]
      files[last] = files[names[1].path]
      try expectNamed(ledger, files, last)
      files[last] = honest
      _ = try Pusher(try ledger.session(), files).run()
    }
  }

  @Test("a store that a copy of the database went on in is named, and stops the copy alone")
  func forged() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      try work(ledger)
      _ = try Pusher(try ledger.session(), files).run()
      let forged = try copy(files)
      try goOn(in: forged) { try work($0) }
      try expectNamed(ledger, forged, "never recorded")
      let refusal = #expect(throws: OpsError.self) { try restore(ledger, from: [forged]) }
      #expect(refusal?.code == .storeDiverged)
      _ = try Pusher(try ledger.session(), files).run()
      try makeOldCopy(ledger)
      expectRefusal(.storeDiverged) { try Pusher(try ledger.session(), forged).run() }
      expectRefusal(.storeDiverged) { try work(ledger) }
    }
  }

  /// Without a root that it noted in this run of the server it can be an old copy.
  private func makeOldCopy(_ ledger: TestLedger) throws {
    try ledger.executeOffTheRecord(
      """
      ALTER TABLE ledger.checkpoints DISABLE TRIGGER USER;
      UPDATE ledger.checkpoints SET recorded_in = 'another run' WHERE recorded_in IS NOT NULL;
      ALTER TABLE ledger.checkpoints ENABLE TRIGGER USER
      """)
  }

  /// Writes a sound segment after the newest, as anybody can who can write to the store.
  private func forge(
    in files: MemoryStore, upTo last: Int64? = nil, _ events: (Int64) throws -> [LoggedEvent]
  ) throws {
    let store = try Store.existing(files)
    let newest = try #require(try store.segments().segments.last)
    let first = newest.name.entries.upperBound + 1
    let log = SampleLog(events: try events(first))
    let writer = try SegmentWriter(
      files, SegmentName(first...(last ?? log.entries.upperBound)), identity: store.record.identity,
      before: try store.reader(of: newest).index.after)
    try log.text.withUnsafeBytes { try writer.write($0) }
    _ = try writer.finish()
  }

  private func event(
    _ entry: Int64, of stream: StreamID, version: Int32 = 1, data: String = "{}"
  ) -> LoggedEvent {
    LoggedEvent(
      entry: entry, index: 0, stream: stream, version: version, type: "radar.updated",
      recordedAt: Instant(micros: 1_795_545_982_000_000), actor: "forger", cause: nil, command: nil,
      data: data, content: nil, salt: nil, commitment: nil)
  }

  enum Impossible: String, CaseIterable {
    case deepJSON, versionOfTheLog, versionTwice, wrongJSON
  }

  @Test(
    "a sound segment that no log can take stops not even what may be an old copy",
    arguments: Impossible.allCases)
  func impossible(what: Impossible) throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      try work(ledger)
      _ = try Pusher(try ledger.session(), files).run()
      let stream = try #require(
        StreamID(try ledger.lines("SELECT id::text FROM ops_agent_events LIMIT 1")[0]))
      let other = StreamID(high: 1, low: 2)
      try forge(in: files) { first in
        switch what {
        case .deepJSON:
          let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
          return [event(first, of: other, data: deep)]
        case .wrongJSON: return [event(first, of: other, data: "{")]
        // In another partition of the log, where no index of one meets the other.
        case .versionOfTheLog: return [event(first + 2_000_000, of: stream)]
        case .versionTwice: return [event(first, of: other), event(first + 1, of: other)]
        }
      }
      try makeOldCopy(ledger)
      try expectNamed(ledger, files, "cannot record")
    }
  }

  @Test("segments that a forged one would replace stay, whatever roots its index names")
  func forgedReplacement() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      for _ in 0..<3 {
        try work(ledger)
        _ = try Pusher(try ledger.session(), files).run()
      }
      let store = try Store.existing(files)
      // Of the second and the third, as a merge would make it; then with other lines and the true roots.
      let parts = Array(try store.segments().segments.dropFirst())
      var text: [UInt8] = []
      for part in parts {
        try store.reader(of: part).lines(of: part.name.entries) { (line, _) in text += line }
      }
      let name = SegmentName(
        parts[0].name.entries.lowerBound...parts[1].name.entries.upperBound)
      func write(_ text: [UInt8], to other: MemoryStore) throws {
        let writer = try SegmentWriter(
          other, name, identity: store.record.identity,
          before: try store.reader(of: parts[0]).index.before)
        try text.withUnsafeBytes { try writer.write($0) }
        _ = try writer.finish()
      }
      let (honest, forged) = (MemoryStore(), MemoryStore())
      try write(text, to: honest)
      try write(
        Array(
          String(decoding: text, as: UTF8.self).replacing("scout:find", with: "scout:lost").utf8),
        to: forged)
      let own = try FramedFile(honest, honest.list(name.path)[0])
      files[name.path] = try forged.forged(name.path) { $0.particulars = own.index.particulars }
      let refusal = #expect(throws: OpsError.self) {
        try Pusher(try ledger.session(), files).run()
      }
      #expect(refusal?.message.contains(name.path) == true, "\(String(describing: refusal))")
      #expect(parts.allSatisfy { files[$0.name.path] != nil })
      files[name.path] = honest[name.path]
      _ = try Pusher(try ledger.session(), files).run()
      #expect(parts.allSatisfy { files[$0.name.path] == nil })
      #expect(try StoreVerifier(store).run().faults == [])
    }
  }

  @Test("numbers that a segment only claims are not used up by whoever restores it")
  func claimed() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      try work(ledger)
      _ = try Pusher(try ledger.session(), files).run()
      try forge(in: files, upTo: EntryNumber.last) { _ in [] }
      try TestLedger.withEmptyDatabase { other in
        try restore(other, from: [files])
        try work(other)
        let used = try #require(
          Int64(try other.lines("SELECT last_value::text FROM ledger.entry_sequence")[0]))
        #expect(used < EntryNumber.last / 2 + 1000)
      }
    }
  }

  @Test("what no release could replay is not put back, and the database goes on")
  func unknownType() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      try work(ledger)
      _ = try Pusher(try ledger.session(), files).run()
      try goOn(in: files) { other in
        try other.executeOffTheRecord(
          """
          INSERT INTO ledger.events (entry, index, stream, version, type, recorded_at, actor, data)
          SELECT d.entry, 0, gen_random_uuid(), 1, 'mission.added', d.recorded_at, 'x', '{}'
          FROM ledger.allocate_entry() AS d
          """)
      }
      let before = try ledger.count("ledger.events")
      let refusal = #expect(throws: OpsError.self) { try restore(ledger, from: [files]) }
      #expect(refusal?.message.contains("mission.added") == true, "\(String(describing: refusal))")
      #expect(try ledger.count("ledger.events") == before)
      try work(ledger)
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("a restore that can put nothing back leaves the database open")
  func nothingPut() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      for _ in 0..<2 {
        try work(ledger)
        _ = try Pusher(try ledger.session(), files).run()
      }
      // Moved to another entry, it is missing where it was, and in its own way.
      try ledger.deleteEvents(where: "false")
      try ledger.execute(
        """
        UPDATE ledger.events SET entry = entry + 1000 WHERE (entry, index) = (SELECT e.entry, e.index
          FROM ledger.events AS e WHERE e.type = 'agent_event.reported' ORDER BY 1, 2 LIMIT 1)
        """)
      expectRefusal(.conflict) { try restore(ledger, from: [files]) }
      _ = try ledger.engine().emit(AgentEvent.Report(type: "a:b", data: "{}"))
    }
  }

  @Test("numbers that nobody used are one segment, however many they are")
  func gaps() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      try work(ledger)
      _ = try Pusher(try ledger.session(), files).run()
      try ledger.execute("SELECT setval('ledger.entry_sequence', 1000000000000)")
      try work(ledger)
      let report = try Pusher(try ledger.session(), files).run()
      #expect(report.segments.count == 3)
      let verified = try StoreVerifier(try Store.existing(files)).run()
      #expect(verified.faults.isEmpty && verified.segments <= 4)
      try TestLedger.withEmptyDatabase { other in
        try restore(other, from: [files])
        #expect(try other.verify().isEqual)
        #expect(
          try other.count("pg_inherits WHERE inhparent = 'ledger.events'::regclass") < 20)
      }
    }
  }

  @Test(
    "any good copy of a segment serves, whatever the order of the stores", arguments: [0, 1, 2, 3])
  func copies(number: Int) throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      var names: [SegmentName] = []
      for _ in 0..<4 {
        try work(ledger)
        names += try Pusher(try ledger.session(), files).run().segments
      }
      // Each lacks a segment, or has it damaged.
      let (one, two) = (try copy(files), try copy(files))
      one[names[number].path] = nil
      two[names[(number + 1) % 4].path]?[20] ^= 1
      for stores in [[one, two], [two, one]] {
        try TestLedger.withEmptyDatabase { other in
          let report = try restore(other, from: stores)
          #expect(report.lastEntry == names[3].entries.upperBound)
          // The newest is missed by nobody where the other store is read first.
          #expect(number == 3 || !report.quarantined.isEmpty)
          let log =
            "SELECT e::text FROM ledger.events AS e WHERE e.entry <= \(report.lastEntry) ORDER BY 1"
          #expect(try other.lines(log) == ledger.lines(log))
          #expect(try other.verify().isEqual)
        }
      }
    }
  }
}
