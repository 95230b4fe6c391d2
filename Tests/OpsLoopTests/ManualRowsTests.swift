import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import Replay
import TestLedgers
import Testing

@Suite("Rows that manual changes made", .needsServer)
struct ManualRowsTests {
  @Test("an agent event put in by SQL is on the record, and the loop goes on from it")
  func insertedEvent() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        INSERT INTO ops_agent_events (type, data) VALUES ('scout:find', '{"summary": "by hand"}');
        INSERT INTO ops_mission_proposals (source, status, template)
          VALUES ('manual', 'pending', '{"steps": [{"kind": "noop"}]}')
        """)
      let engine = try ledger.engine()
      #expect(try engine.heartbeat(drain: true).queued == 1)
      let proposal = try #require(
        StreamID(
          try ledger.value("SELECT id FROM ops_mission_proposals WHERE status = 'pending'")))
      _ = try engine.approve(proposal, why: "by hand")
      #expect(try engine.work().succeeded == 2)
      #expect(try ledger.count("ledger.events WHERE type = 'agent_event.inserted'") == 1)
      #expect(try ledger.count("ledger.events WHERE type = 'proposal.inserted'") == 1)
      try ledger.expectEqual()
    }
  }

  @Test(
    "who takes a key that a manual change gives up comes after it in the log: no two hold it at once"
  )
  func keyGivenUp() throws {
    try TestLedger.with { ledger in
      _ = try ledger.engine().emit("scout:find", key: "k")
      _ = try ledger.engine().submit(.noops(.fine), source: .manual, dedupeKey: "k")
      for (table, type) in [
        ("ops_agent_events", "agent_event.reported"),
        ("ops_mission_proposals", "proposal.submitted"),
      ] {
        let row = try ledger.value("SELECT id FROM \(table) WHERE dedupe_key = 'k'")
        _ = try atOnce(2) { index in
          if index == 0 {
            let hand = try Connection(url: ledger.adminURL)
            defer { hand.close() }
            try hand.execute(
              """
              BEGIN; UPDATE ops_missions SET proposal_id = NULL;
              DELETE FROM \(table) WHERE dedupe_key = 'k'
              """)
            try ledger.wait(for: "wait_event_type = 'Lock' AND query LIKE '%FOR NO KEY UPDATE%'")
            return try hand.execute("COMMIT")
          }
          try ledger.wait(for: "state = 'idle in transaction' AND query LIKE '%DELETE%'")
          if table == "ops_agent_events" {
            #expect(try !ledger.engine().emit("scout:find", key: "k").isDuplicate)
          } else {
            _ = try ledger.engine().submit(.noops(.fine), source: .manual, dedupeKey: "k")
          }
        }
        let entries = "SELECT max(entry) FROM ledger.events WHERE"
        #expect(
          try ledger.value(
            """
            SELECT (\(entries) stream = '\(row)' AND type LIKE '%.removed')
              < (\(entries) type = '\(type)')
            """) == "true", "\(table)")
        #expect(try ledger.count("\(table) WHERE dedupe_key = 'k' AND id <> '\(row)'") == 1)
      }
      try ledger.expectEqual()
    }
  }

  @Test("a version that no history leads to stops nobody else")
  func absurdVersion() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      try ledger.executeOffTheRecord(
        """
        UPDATE ops_mission_steps SET version = 2147483647, failure_count = 2147483647
        WHERE id = (SELECT min(id::text)::uuid FROM ops_mission_steps)
        """)
      #expect(try engine.work().succeeded == 1)
    }
  }

  @Test("an array of the same numbers that begins elsewhere is a difference, and is mended")
  func shiftedArray() throws {
    try TestLedger.with { ledger in
      _ = try ledger.engine().submit(.noops(.fine, .fine), source: .manual, dedupeKey: nil)
      let needs = "SELECT string_agg(needs::text, ' ' ORDER BY ordinal) FROM ops_mission_steps"
      let before = try ledger.value(needs)
      for shifted in ["[2:2]={0}", "{{0}}"] {
        try ledger.executeOffTheRecord(
          "UPDATE ops_mission_steps SET needs = '\(shifted)' WHERE ordinal = 1")
        let report = try ledger.verify()
        #expect(report.differences.map(\.column) == ["needs"])
        _ = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
        #expect(try ledger.value(needs) == before)
      }
    }
  }

  @Test("a worker policy that a manual change broke opens nothing that was shut")
  func brokenWorkerPolicy() throws {
    try TestLedger.with { ledger in
      _ = try ledger.engine().pauseExecutor("noop", true, why: "shut")
      _ = try ledger.engine().submit(.noops(.fine), source: .manual, dedupeKey: nil)
      for value in [#""broken""#, #"{"blocked_executors": "noop"}"#, "null"] {
        try ledger.execute("UPDATE ops_policy SET value = '\(value)' WHERE key = 'worker_policy'")
        #expect(try ledger.engine().work().claimed == 0)
        let beat = try ledger.engine().heartbeat(drain: false)
        #expect(beat.warnings.contains { $0.contains("worker_policy") })
      }
    }
  }

  @Test("without any reaction matrix no event is taken, so that none is lost")
  func noMatrix() throws {
    try TestLedger.with { ledger in
      // Neither in the table nor in the log, where the last valid one would be.
      try ledger.execute(
        """
        DELETE FROM ops_policy WHERE key = 'reaction_matrix';
        DELETE FROM ledger.tombstones
        """)
      try ledger.deleteEvents(where: "stream = '\(StreamID.policy("reaction_matrix"))'")
      let engine = try ledger.engine()
      try engine.emit("scout:find", .object(["summary": .string("s")]))
      let beat = try engine.heartbeat(drain: true)
      #expect(beat.events == 0)
      #expect(beat.warnings.contains { $0.hasPrefix("OPS_002") })
      #expect(try ledger.count("ops_agent_events WHERE processed_at IS NULL") == 1)
    }
  }
}
