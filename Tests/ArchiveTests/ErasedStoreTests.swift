import Crypto
import Ledger
import OpsLoop
import Replay
import Synchronization
import TestLedgers
import TestSupport
import Testing

@testable import Archive
@testable import Log

/// What was erased leaves stores, wherever it is met.
@Suite(.enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct ErasedStoreTests {
  private static let secret = "hush4711"

  /// Two segments, of which the first holds the secret.
  private static func pushed(
    _ body: (_ ledger: TestLedger, _ files: MemoryStore, _ event: StreamID) throws -> Void
  ) throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let event = try engine.emit(
        AgentEvent.Report(
          type: "scout:find", data: #"{"summary": "\#(secret)", "source": "scout"}"#))
      _ = try engine.heartbeat(drain: true) { _ in }
      _ = try Worker(
        engine, Worker.Options(name: "worker/test"), shouldStop: { false }, report: { _ in }
      ).run()
      let files = MemoryStore()
      _ = try push(ledger, files)
      _ = try engine.emit(AgentEvent.Report(type: "other:thing", data: "{}"))
      _ = try push(ledger, files)
      try body(ledger, files, event.eventID)
    }
  }

  @discardableResult
  private static func push(_ ledger: TestLedger, _ files: MemoryStore) throws -> PushReport {
    try Pusher(try ledger.session(), files).run()
  }

  private static func erase(_ ledger: TestLedger, _ event: StreamID) throws {
    _ = try ledger.engine().erase(.event(event), why: "asked for")
  }

  /// The names of the segments whose lines hold the secret.
  private static func holders(_ files: MemoryStore) throws -> [String] {
    let store = try Store.existing(files)
    return try files.list(SegmentName.folder).filter { file in
      var found = false
      try SegmentReader(store.files, file).verify { frame in
        if String(decoding: frame.text, as: UTF8.self).contains(secret) { found = true }
      }
      return found
    }.map(\.name)
  }

  private static func expectWhole(_ files: MemoryStore, root: String) throws {
    let report = try StoreVerifier(try Store.existing(files)).run()
    #expect(report.faults == [] && report.notes == [])
    let first = try Store.existing(files).segments().segments[0]
    #expect(try Store.existing(files).reader(of: first).index.root.hex == root)
  }

  private static func root(_ files: MemoryStore) throws -> String {
    let store = try Store.existing(files)
    return try store.reader(of: store.segments().segments[0]).index.root.hex
  }

  @Test("a push writes the segments again that hold it, under the same roots")
  func push() throws {
    try Self.pushed { ledger, files, event in
      let root = try Self.root(files)
      let old = try #require(try Self.holders(files).first)
      try Self.erase(ledger, event)
      let report = try Self.push(ledger, files)
      #expect(report.erased.count == 1 && report.erased.first?.generation == 2)
      #expect(files[old] == nil)
      #expect(try Self.holders(files) == [])
      try Self.expectWhole(files, root: root)
      #expect(try Self.push(ledger, files).erased == [])
      try TestLedger.withEmptyDatabase { other in
        let target = Session.Target(url: other.adminURL, application: "test")
        _ = try Restorer(target, [files], actor: "test").run()
        let (there, here) = (
          try Self.log(other), try Self.log(ledger)
        )
        #expect(there == here)
        #expect(try other.verify().isEqual)
      }
    }
  }

  private static func log(_ ledger: TestLedger) throws -> [String] {
    try ledger.lines(
      """
      SELECT e::text FROM ledger.events AS e
      WHERE e.type NOT IN ('ledger.restored', 'ledger.moved') ORDER BY e.entry, e.index
      """)
  }

  @Test("what was interrupted after the new segment was written continues")
  func resumed() throws {
    try Self.pushed { ledger, files, event in
      let root = try Self.root(files)
      let old = try #require(try Self.holders(files).first)
      let bytes = files[old]
      try Self.erase(ledger, event)
      try Self.push(ledger, files)
      files[old] = bytes
      try Self.push(ledger, files)
      #expect(files[old] == nil)
      try Self.expectWhole(files, root: root)
      #expect(try Self.holders(files) == [])
    }
  }

  @Test("a segment without content that nobody erased is named, and the honest one stays")
  func forged() throws {
    try Self.pushed { ledger, files, event in
      let honest = try #require(try Self.holders(files).first)
      let bytes = files[honest]
      let store = try Store.existing(files)
      let forged = try #require(
        try store.erase(Erasures(entries: [event: .max]), from: store.segments()).first)
      #expect(files[honest] == nil)
      let faults = try StoreVerifier(store).run().faults
      #expect(faults.count == 1 && faults[0].contains("no erasure removed"))
      files[honest] = bytes
      let refusal = #expect(throws: OpsError.self) { try Self.push(ledger, files) }
      #expect(refusal?.code == .storeDiverged)
      #expect(refusal?.message.contains(forged.path) == true)
      #expect(files[honest] == bytes)
      files[forged.path] = nil
      try Self.push(ledger, files)
      #expect(try StoreVerifier(store).run().faults == [])
    }
  }

  @Test("content that is gone from the log without an erasure is named")
  func gone() throws {
    try Self.pushed { ledger, _, event in
      #expect(try ledger.verify().isEqual)
      try Self.erase(ledger, event)
      #expect(try ledger.verify().isEqual)
      try ledger.deleteEvents(where: "stream = '\(event)' AND type = 'agent_event.erased'")
      let columns = try ledger.verify().differences.filter { $0.table == "ledger.events" }.map(
        \.column)
      #expect(columns.contains("content"))
    }
  }

  @Test("an old copy of a store put back is erased by the next push, and by a restore from it")
  func oldCopy() throws {
    try Self.pushed { ledger, files, event in
      let old = try files.list("").map { ($0.name, files[$0.name]) }
      try Self.erase(ledger, event)
      try Self.push(ledger, files)
      for file in try files.list("") where file.name.hasPrefix(SegmentName.folder) {
        // The segment with the `erased` events stays.
        if file.name.contains(".g2.") { files[file.name] = nil }
      }
      for (name, bytes) in old { files[name] = bytes }
      #expect(try Self.holders(files).count == 1)
      try TestLedger.withEmptyDatabase { other in
        let target = Session.Target(url: other.adminURL, application: "test")
        _ = try Restorer(target, [files], actor: "test").run()
        #expect(
          try other.count("ledger.events AS e WHERE e::text LIKE '%\(Self.secret)%'") == 0)
        #expect(
          try other.count("ops_agent_events AS e WHERE e::text LIKE '%\(Self.secret)%'") == 0)
        #expect(try other.verify().isEqual)
      }
      #expect(try Self.push(ledger, files).erased.count == 1)
      #expect(try Self.holders(files) == [])
    }
  }

  /// Every line of a store's newest snapshot.
  private static func snapshotLines(_ files: MemoryStore) throws -> [String] {
    let store = try Store.existing(files)
    let reader = try store.reader(of: try #require(store.snapshots().snapshots.last))
    try reader.verify()
    var lines: [String] = []
    for run in reader.index.runs {
      try reader.lines(of: run) { line in
        lines.append("\(run.name) \(String(decoding: line, as: UTF8.self))")
      }
    }
    return lines.sorted()
  }

  @Test("a snapshot is written again as the log gives its rows now")
  func snapshot() throws {
    try Self.pushed { ledger, files, event in
      let made = try SnapshotMaker(try ledger.session(), files).run()
      #expect(try Self.snapshotLines(files).contains { $0.contains(Self.secret) })
      try Self.erase(ledger, event)
      let report = try Self.push(ledger, files)
      #expect(report.erasedSnapshots == [SnapshotName(made.index.name.entry, generation: 2)])
      #expect(try files.list(SnapshotName.folder).count == 1)
      let lines = try Self.snapshotLines(files)
      #expect(!lines.contains { $0.contains(Self.secret) })
      let rows = try StateRows(ledger.target, at: made.index.name.entry)
      defer { rows.end() }
      var folded: [String] = []
      for rowType in RowType.allCases {
        try rows.each(of: rowType, pieceBytes: 1 << 20) { made in
          for piece in made.pieces {
            piece.text.withUnsafeBytes { text in
              SegmentFrameMaker.eachLine(of: text) { line in
                folded.append(
                  "\(StateRows.columns(of: rowType).table) \(String(decoding: line, as: UTF8.self))"
                )
              }
            }
          }
        }
      }
      #expect(lines.filter { !$0.hasPrefix("gone ") } == folded.sorted())
      #expect(try Self.push(ledger, files).erasedSnapshots == [])
    }
  }

  @Test("a mission whose events have left the database is erased in the store, and its rows here")
  func archivedPart() throws {
    try Self.pushed { ledger, files, event in
      try ledger.execute("SELECT ledger.adopt_instance(1000005), ledger.add_partitions()")
      _ = try ledger.engine().emit(AgentEvent.Report(type: "other:thing", data: "{}"))
      try Self.push(ledger, files)
      let segment = try #require(try Store.existing(files).segments().segments.first)
      let index = try SegmentReader(files, segment.file).index
      #expect(index.name.entries.upperBound == 999_999)
      try ledger.execute(
        """
        SELECT ledger.drop_partition(0, '\(segment.name.path)', \(index.eventCount),
          '\\x\(index.root.hex)', 'test')
        """)
      var target = ledger.target
      target.archivedLog = StoredLog(files)
      let engine = Engine(try Session(target), actor: "test", settings: LoopSettings())
      let mission = try #require(
        StreamID(try ledger.value("SELECT id FROM ops_missions LIMIT 1")))
      // Without the store nobody knows what copied what.
      do throws(OpsError) {
        _ = try Engine(Session(ledger.target), actor: "test", settings: LoopSettings())
          .erase(.mission(mission), why: "asked for")
        Issue.record("erased without the store")
      } catch {
        #expect(error.code == .databaseUnreachable)
      }
      let hold = try engine.placeHold(.source("scout"), why: "a case")
      expectRefusal(.notAllowed) {
        _ = try engine.erase(.mission(mission), why: "asked for")
      }
      _ = try engine.releaseHold(hold, why: "closed")
      let report = try engine.erase(.mission(mission), why: "asked for")
      #expect(report.rows[.agentEvent] == 3 && report.rows[.radar] == 1 && report.rows[.step] == 1)
      #expect(report.rows[.proposal] == 1 && report.rows[.reaction] == 1 && report.rows[.run] == 1)
      let pushed = try Self.push(ledger, files)
      #expect(pushed.erased.count == 1)
      #expect(try Self.holders(files) == [])
      #expect(
        try ledger.count("ops_demand_radar AS r WHERE r::text LIKE '%\(Self.secret)%'") == 0)
      #expect(
        try ledger.count("ledger.idempotency_keys AS c WHERE c::text LIKE '%\(Self.secret)%'") == 0)
      target.archivedLog = StoredLog(files)
      let found = try Verifier.run(target)
      #expect(found.differences == [])
      let again = Engine(try Session(target), actor: "test", settings: LoopSettings())
      #expect(try again.erase(.event(event), why: "once more").rows == [:])
    }
  }

  @Test("a snapshot that still has it is not used, and one that was written again is")
  func oldSnapshot() throws {
    try Self.pushed { ledger, files, event in
      let entry = try SnapshotMaker(try ledger.session(), files).run().index.name.entry
      // A copy of the store that was not available when it was erased.
      let copy = MemoryStore()
      for file in try files.list("") { copy[file.name] = files[file.name] }
      try Self.erase(ledger, event)
      try Self.push(ledger, files)
      let expected = try States.at(entry, ledger)
      #expect(!expected.contains { $0.contains(Self.secret) })
      for (store, isUsed) in [(files, true), (copy, false)] {
        let warnings = Mutex<[String]>([])
        let snapshots = StoredSnapshots(
          ledger.target, [store], warn: { line in warnings.withLock { $0.append(line) } })
        #expect(try States.at(entry, ledger, from: snapshots) == expected)
        #expect((snapshots.given == entry) == isUsed)
        #expect(warnings.withLock { $0.count } == (isUsed ? 0 : 1))
      }
    }
  }
}
