import Ledger
import Log
import OpsLoop
import Replay
import TestLedgers
import TestSupport
import Testing

@testable import Archive

/// The log into a store, and a database from it.
@Suite(.enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct PushRestoreTests {
  /// A ledger with agent events, what the loop made of them, and a manual change's rows that came and went.
  private static func withHistory(_ body: (TestLedger) throws -> Void) throws {
    try TestLedger.with { ledger in
      try work(ledger, 3)
      try ledger.execute("INSERT INTO ops_policy (key, value) VALUES ('mine', 'null')")
      try ledger.execute("DELETE FROM ops_policy WHERE key = 'mine'")
      try body(ledger)
    }
  }

  private static func work(_ ledger: TestLedger, _ count: Int) throws {
    let engine = try ledger.engine()
    for number in 0..<count {
      _ = try engine.emit(
        AgentEvent.Report(
          type: "scout:find", data: #"{"summary": "a \"find\" \#(number)", "source": "scout"}"#))
    }
    _ = try engine.heartbeat(drain: true) { _ in }
  }

  /// The log but for what a restore itself records.
  private func log(_ ledger: TestLedger) throws -> [String] {
    try ledger.lines(
      """
      SELECT e::text FROM ledger.events AS e
      WHERE e.type NOT IN ('ledger.restored', 'ledger.moved') ORDER BY e.entry, e.index
      """)
  }

  private func push(
    _ ledger: TestLedger, _ files: any ObjectStore, mayBegin: Bool = true
  ) throws -> PushReport {
    try Pusher(try ledger.session(), files).run(mayBegin: mayBegin)
  }

  private func restore(_ ledger: TestLedger, _ files: any ObjectStore) throws -> RestoreReport {
    let target = Session.Target(url: ledger.adminURL, application: "test")
    return try Restorer(target, [files], actor: "test").run()
  }

  @Test("an empty database comes back whole, and goes on above every number")
  func fromNothing() throws {
    try Self.withHistory { ledger in
      let files = MemoryStore()
      let pushed = try push(ledger, files)
      #expect(try pushed.events == ledger.count("ledger.events"))
      try TestLedger.withEmptyDatabase { other in
        let report = try restore(other, files)
        #expect(report.outcome == .restored)
        #expect(report.lastEntry == pushed.lastEntry)
        let (there, here) = (try log(other), try log(ledger))
        #expect(there == here)
        #expect(try other.verify().isEqual)
        #expect(try restore(other, files).outcome == .nothingToDo)
        try Self.work(other, 1)
        try other.execute("INSERT INTO ops_policy (key, value) VALUES ('mine', '1')")
        #expect(try other.value("SELECT version FROM ops_policy WHERE key = 'mine'") == "3")
        #expect(try other.verify().isEqual)
        #expect(try push(other, files).events > 0)
        #expect(try StoreVerifier(try Store.existing(files)).run().faults.isEmpty)
      }
    }
  }

  @Test("a store whose first push was interrupted makes no ledger of an empty database")
  func fromNoEntry() throws {
    try Self.withHistory { ledger in
      let files = MemoryStore()
      let own = try ledger.session().ledgerRecord()
      _ = try Store.begin(files, StoreRecord(identity: own.identity, title: own.title))
      try TestLedger.withEmptyDatabase { other in
        expectRefusal(.notFound) { try restore(other, files) }
        let isEmpty = try other.value("SELECT to_regnamespace('ledger') IS NULL")
        #expect(isEmpty == "true")
      }
      // The ledger itself is not in its way.
      #expect(try restore(ledger, files).outcome == .nothingToDo)
      #expect(try push(ledger, files).events > 0)
    }
  }

  @Test("pushes add what is new, and many at once push it once")
  func incremental() throws {
    try Self.withHistory { ledger in
      let files = MemoryStore()
      let first = try push(ledger, files)
      let again = try push(ledger, files)
      #expect(again.segments.isEmpty && again.lastEntry == first.lastEntry)
      try Self.work(ledger, 2)
      let reports = try atOnce(4) { _ in
        try Pusher(try ledger.session(), files).run().segments.count
      }
      #expect(reports.reduce(0, +) == 1)
      let report = try StoreVerifier(try Store.existing(files)).run()
      #expect(report.faults.isEmpty && report.segments == 2)
      #expect(try report.events == ledger.count("ledger.events"))
    }
  }

  @Test("small segments of a partition become one when all of it is stored")
  func merging() throws {
    try Self.withHistory { ledger in
      let files = MemoryStore()
      _ = try push(ledger, files)
      try Self.work(ledger, 1)
      let small = try push(ledger, files).lastEntry
      #expect(try Store.existing(files).segments().segments.count == 2)
      // Beyond the partition's end.
      try ledger.execute("SELECT ledger.adopt_instance(1000000)")
      try Self.work(ledger, 1)
      let report = try push(ledger, files)
      #expect(report.merged == [SegmentName(1...999_999)])
      let list = try Store.existing(files).segments()
      #expect(list.segments.count == 2 && list.lastEntry > small && list.superseded.isEmpty)
      let found = try StoreVerifier(try Store.existing(files)).run()
      #expect(found.faults.isEmpty)
      #expect(try found.events == ledger.count("ledger.events"))
      #expect(try push(ledger, files).merged.isEmpty)
      try TestLedger.withEmptyDatabase { other in
        _ = try restore(other, files)
        let (there, here) = (try log(other), try log(ledger))
        #expect(there == here)
      }
    }
  }

  @Test("a root that was not noted is computed, and must be the store's")
  func unrecorded() throws {
    try Self.withHistory { ledger in
      try ledger.withCopy { copy in
        let files = MemoryStore()
        _ = try push(ledger, files)
        try copy.execute("SELECT ledger.adopt_instance(0)")
        // It has the same events, and has never pushed.
        #expect(try push(copy, files).segments.isEmpty)
        try Self.work(copy, 1)
        try Self.work(ledger, 1)
        #expect(try push(ledger, files).segments.count == 1)
        do throws(OpsError) {
          _ = try Pusher(try Session(copy.target), files).run()
          Issue.record("two histories in one store")
        } catch {
          #expect(error.code == .storeDiverged)
        }
        expectRefusal(.storeDiverged) { _ = try copy.session().seal() }
      }
    }
  }

  @Test("an old copy gets what it lacks, in the middle of a segment too")
  func oldCopy() throws {
    try Self.withHistory { ledger in
      try ledger.withCopy { old in
        try Self.work(ledger, 3)
        try ledger.execute("UPDATE ops_policy SET value = value WHERE key = 'loop'")
        try ledger.execute("DELETE FROM ops_policy WHERE key = 'agent_roles'")
        let files = MemoryStore()
        _ = try push(ledger, files)
        let report = try restore(old, files)
        #expect(report.outcome == .restored && !report.isAhead)
        let (there, here) = (try log(old), try log(ledger))
        #expect(there == here)
        #expect(try old.verify().isEqual)
        expectRefusal(.notFound) { _ = try restore(ledger, MemoryStore()) }
      }
    }
  }

  @Test("seals that were counted without what came back count it; what is missing still is told")
  func seals() throws {
    try Self.withHistory { ledger in
      let files = MemoryStore()
      _ = try push(ledger, files)
      func lose(_ condition: String) throws {
        try ledger.deleteEvents(where: condition)
        try ledger.executeOffTheRecord(
          """
          ALTER TABLE ledger.checkpoints DISABLE TRIGGER USER; DELETE FROM ledger.checkpoints;
          ALTER TABLE ledger.checkpoints ENABLE TRIGGER USER
          """)
      }
      let pushed = "entry = \(try ledger.value("SELECT max(entry) FROM ledger.events"))"
      try lose(pushed)
      _ = try ledger.session().seal()
      #expect(try restore(ledger, files).outcome == .restored)
      #expect(try ledger.verify().isEqual)

      // Sealed, and in no store.
      _ = try ledger.engine().emit(AgentEvent.Report(type: "a:b", data: "{}"))
      _ = try ledger.session().seal()
      try ledger.deleteEvents(
        where:
          "\(pushed) OR stream IN (SELECT a.id FROM ops_agent_events AS a WHERE a.type = 'a:b')")
      try ledger.executeOffTheRecord("DELETE FROM ops_agent_events WHERE type = 'a:b'")
      #expect(try restore(ledger, files).outcome == .restored)
      let told = try ledger.value(
        "SELECT data FROM ledger.events WHERE type = 'ledger.restored' ORDER BY entry DESC LIMIT 1")
      #expect(told.contains("ledger.checkpoints") && told.contains("size"), "\(told)")
    }
  }

  @Test("a copy that lacks nothing is moved; one that diverged is named, and stays as it was")
  func copies() throws {
    try Self.withHistory { ledger in
      let files = MemoryStore()
      let pushed = try push(ledger, files)
      try ledger.withCopy { copy in
        let report = try restore(copy, files)
        #expect(report.outcome == .moved)
        #expect((report.entry ?? 0) > pushed.lastEntry + (1 << 20))
        #expect(try copy.count("ledger.events WHERE type = 'ledger.moved'") == 1)
        try Self.work(ledger, 1)
        _ = try push(ledger, files)
        let before = try copy.count("ledger.events")
        do {
          _ = try restore(copy, files)
          Issue.record("merged")
        } catch let error as OpsError {
          #expect(error.code == .storeDiverged && error.facts["entry"] != nil)
        }
        #expect(try copy.count("ledger.events") == before)
        #expect(try copy.verify().isEqual)
      }
    }
  }

  @Test("a damaged segment gives no wrong rows")
  func damage() throws {
    try Self.withHistory { ledger in
      let files = MemoryStore()
      let name = try push(ledger, files).segments[0].path
      let sound = files[name] ?? []
      for at in stride(from: 0, to: sound.count, by: max(1, sound.count / 12)) {
        var bytes = sound
        bytes[at] ^= 1
        files[name] = bytes
        let found = try StoreVerifier(try Store.existing(files)).run()
        #expect(!found.faults.isEmpty)
        try TestLedger.withEmptyDatabase { other in
          expectRefusal(.storeDiverged) { _ = try restore(other, files) }
          let events = try other.count("ledger.events")
          #expect(events == 0)
        }
      }
      files[name] = nil
      #expect(try StoreVerifier(try Store.existing(files)).run().lastEntry == 0)
    }
  }

  @Test("a store that is gone is not begun again by whoever knew it")
  func vanished() throws {
    try Self.withHistory { ledger in
      let files = MemoryStore()
      _ = try push(ledger, files)
      let empty = MemoryStore()
      let error = #expect(throws: OpsError.self) { try push(ledger, empty, mayBegin: false) }
      #expect(error?.code == .databaseUnreachable)
      #expect(try empty.list("") == [])
      #expect(try ledger.session().wasPushed())
      let began = try push(ledger, empty)
      #expect(began.isBegun)
    }
  }
}
