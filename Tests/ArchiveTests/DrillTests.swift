import Crypto
import Ledger
import OpsLoop
import Replay
import TestLedgers
import Testing

@testable import Archive
@testable import Log

/// What a drill compares, on databases that differ in known ways.
@Suite(.enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct DrillTests {
  private static func restored(
    _ body: (_ live: TestLedger, _ copy: TestLedger, _ lastEntry: Int64, _ root: String) throws ->
      Void
  ) throws {
    try TestLedger.with { live in
      try emit(live, 3)
      let files = MemoryStore()
      _ = try Pusher(try live.session(), files).run()
      try TestLedger.withEmptyDatabase { copy in
        let target = Session.Target(url: copy.adminURL, application: "test")
        let report = try Restorer(target, [files], actor: "test").run()
        try emit(live, 1)
        try body(live, copy, report.lastEntry, report.root)
      }
    }
  }

  private static func emit(_ ledger: TestLedger, _ count: Int) throws {
    let engine = try ledger.engine()
    for number in 0..<count {
      _ = try engine.emit(
        AgentEvent.Report(
          type: "scout:find", data: #"{"summary": "find \#(number)", "source": "scout"}"#))
    }
    _ = try engine.heartbeat(drain: true) { _ in }
  }

  @Test(
    "what came back equals the live database as of the store's last_entry, which has gone on since")
  func equal() throws {
    try Self.restored { live, copy, lastEntry, root in
      let rows = try Verifier.run(live.target, at: lastEntry, with: copy.target)
      #expect(rows.isEqual && rows.rows.values.reduce(0, +) > 10)
      #expect(rows.rows["ledger.ledger"] == nil)
      let events = try LogComparison(try live.session(), try copy.session(), upTo: lastEntry) {}
      #expect(events.differences == 0 && events.first == nil)
      #expect(try events.events == live.count("ledger.events WHERE entry <= \(lastEntry)"))
      #expect(events.root.hex == root && events.copyRoot.hex == root)
    }
  }

  @Test("a row and an event that differ are named")
  func different() throws {
    try Self.restored { live, copy, lastEntry, root in
      try copy.executeOffTheRecord(
        "UPDATE ops_agent_events SET type = 'scout:lost' WHERE id = (SELECT min(id::text)::uuid FROM ops_agent_events)"
      )
      let rows = try Verifier.run(live.target, at: lastEntry, with: copy.target)
      #expect(rows.differenceCount == 1 && rows.differences.first?.column == "type")
      let entry = try copy.value("SELECT max(entry) FROM ledger.events WHERE entry <= \(lastEntry)")
      try copy.deleteEvents(where: "entry = \(entry) AND index = 0")
      let events = try LogComparison(try live.session(), try copy.session(), upTo: lastEntry) {}
      #expect(events.differences == 1 && events.first == Int64(entry))
      #expect(events.root.hex == root && events.copyRoot.hex != root)
    }
  }
}
