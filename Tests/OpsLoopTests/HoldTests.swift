import Ledger
import Log
import OpsLoop
import Postgres
import Replay
import TestLedgers
import TestSupport
import Testing

@Suite("Holds", .enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct HoldTests {
  @Test("a hold is placed, listed, released once, and folds like any row")
  func life() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine("cli/ann")
      let time = Instant(micros: 1_000_000)
      let first = try engine.placeHold(.source("scout"), why: "case 7")
      let second = try engine.placeHold(.time(from: time, until: time), why: "audit")
      expectRefusal(.notFound) {
        try engine.placeHold(.mission(StreamID(high: 1, low: 1)), why: "nobody knows it")
      }
      #expect(try engine.releaseHold(first, why: "settled"))
      #expect(try !engine.releaseHold(first, why: "again"))
      expectRefusal(.notFound) {
        try engine.releaseHold(StreamID(high: 1, low: 1), why: "nobody knows it")
      }
      let session = try ledger.session()
      #expect(try session.list(.holds(all: false, limit: 10)).map(\.id) == [second])
      let all = try session.list(.holds(all: true, limit: 10))
      #expect(all.count == 2 && all.allSatisfy { $0.placedBy == "cli/ann" })
      #expect(try ledger.verify().isEqual)
      let rows = try ledger.lines("SELECT * FROM ledger.holds ORDER BY id")
      for forged in ["DELETE FROM ledger.holds", "UPDATE ledger.holds SET why = 'other'"] {
        #expect(throws: PostgresError.self) { try ledger.execute(forged) }
      }
      try ledger.executeOffTheRecord(
        "DELETE FROM ledger.holds WHERE source IS NOT NULL; UPDATE ledger.holds SET why = 'other'")
      #expect(try ledger.verify().differenceCount == 2)
      let target = ledger.target
      #expect(try Rebuilder.run(target, actor: "test", checkOnly: false).outcome == .rebuilt)
      let again = try ledger.lines("SELECT * FROM ledger.holds ORDER BY id")
      #expect(again == rows)
      // And where the eight are filled anew.
      try ledger.executeOffTheRecord(
        """
        DELETE FROM ledger.holds;
        TRUNCATE ops_policy, ops_mission_proposals, ops_missions, ops_mission_steps, ops_agent_events,
          ops_agent_reactions, ops_action_runs, ops_demand_radar
        """)
      #expect(try Rebuilder.run(target, actor: "test", checkOnly: false).outcome == .rebuilt)
      let filled = try ledger.lines("SELECT * FROM ledger.holds ORDER BY id")
      #expect(filled == rows)
      #expect(try ledger.verify().isEqual)
    }
  }
}
