import JSON
import Ledger
import Log
import OpsLoop
import TestLedgers
import Testing

@Suite("The loop goes on from what hands decide", .needsServer)
struct FollowUpTests {
  @Test("a proposal approved manually gets its mission, once, from the next heartbeat")
  func approved() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      for _ in 0..<2 { _ = try submitPending(engine, ledger) }
      try ledger.execute(
        """
        UPDATE ops_mission_proposals SET status = 'approved', approved_at = now()
          WHERE id = (SELECT id FROM ops_mission_proposals ORDER BY id LIMIT 1);
        UPDATE ops_mission_proposals SET status = 'rejected', reason = 'no'
          WHERE status = 'pending'
        """)
      for _ in 0..<2 { _ = try engine.heartbeat(drain: true) }
      #expect(try ledger.count("ops_missions") == 1)
      #expect(try ledger.count("ledger.follow_ups") == 0)
      #expect(try engine.work().succeeded == 1)
      try ledger.expectEqual()
    }
  }

  @Test("one put in as approved is left a moment, in which its client makes the mission")
  func inserted() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      try ledger.execute(
        """
        INSERT INTO ops_mission_proposals (source, status, template)
          VALUES ('api', 'approved', '{"steps": [{"kind": "noop"}]}')
        """)
      _ = try engine.heartbeat(drain: true)
      #expect(try ledger.count("ops_missions") == 0)
      try ledger.moveClock(seconds: 6)
      _ = try engine.heartbeat(drain: true)
      #expect(try ledger.count("ops_missions") == 1)
      try ledger.expectEqual()
    }
  }

  @Test("a template that cannot run is named, and stops nobody else")
  func badTemplate() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      for _ in 0..<2 { _ = try submitPending(engine, ledger) }
      try ledger.execute(
        """
        UPDATE ops_mission_proposals SET status = 'approved', template = '{"steps": 7}'
          WHERE id = (SELECT id FROM ops_mission_proposals ORDER BY id LIMIT 1);
        UPDATE ops_mission_proposals SET status = 'approved' WHERE status = 'pending'
        """)
      let beat = try engine.heartbeat(drain: true)
      #expect(beat.warnings.contains { $0.contains("OPS_004") })
      #expect(try ledger.count("ops_missions") == 1)
      try ledger.execute(
        """
        UPDATE ops_mission_proposals SET template = '{"steps": [{"kind": "noop"}]}'
          WHERE template->'steps' = '7'
        """)
      _ = try engine.heartbeat(drain: true)
      #expect(try ledger.count("ops_missions") == 2)
      try ledger.expectEqual()
    }
  }

  @Test("a vote manually counts with the others")
  func voted() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      let template = #"{"risk_level": "high", "steps": [{"kind": "noop"}]}"#
      let submitted = try engine.submit(
        try JSON(parsing: template), source: .manual, dedupeKey: nil)
      #expect(submitted.status == .voting)
      for role in ["sage", "observer", "architect"] {
        try ledger.execute(
          """
          INSERT INTO ops_proposal_votes (proposal_id, agent_role, vote)
            VALUES ('\(submitted.proposalID)', '\(role)', 'approve')
          """)
      }
      _ = try engine.heartbeat(drain: true)
      #expect(try ledger.count("ops_missions") == 1)
      #expect(try ledger.history("proposal").last == "approved")
      try ledger.expectEqual()
    }
  }

  @Test("a step queued again by the runbook's UPDATE runs, and so do those skipped because of it")
  func requeued() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      let failing = JSON.object(["error": .string("broken")])
      _ = try engine.submit(.noops(failing, .fine, .fine), source: .manual, dedupeKey: nil)
      for _ in 0..<3 {
        _ = try engine.work()
        try ledger.moveClock(seconds: 600)
      }
      #expect(try ledger.count("ops_mission_steps WHERE status = 'failed'") == 3)
      try ledger.execute(
        """
        UPDATE ops_mission_steps SET status = 'queued', failure_count = 0, last_error = NULL,
          params = '{}' WHERE failure_count > 0
        """)
      _ = try engine.heartbeat(drain: true)
      #expect(try ledger.count("ops_mission_steps WHERE status = 'queued'") == 3)
      while try engine.work().succeeded > 0 {}
      #expect(try ledger.count("ops_missions WHERE status = 'succeeded'") == 1)
      #expect(try ledger.history("mission").contains("reopened"))
      try ledger.expectEqual()
    }
  }

  @Test("steps that a manual change claims and completes start and end their mission")
  func completed() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      for _ in 0..<2 {
        _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      }
      try ledger.execute(
        "UPDATE ops_mission_steps SET status = 'running', reserved_at = now()")
      _ = try engine.heartbeat(drain: true)
      #expect(try ledger.count("ops_missions WHERE status = 'running'") == 2)
      #expect(try engine.work().claimed == 0)
      try ledger.execute(
        """
        UPDATE ops_mission_steps SET status = 'succeeded' WHERE id =
          (SELECT id FROM ops_mission_steps ORDER BY id LIMIT 1);
        UPDATE ops_mission_steps SET status = 'failed', failure_count = 3, last_error = 'e'
          WHERE status = 'running'
        """)
      _ = try engine.heartbeat(drain: true)
      #expect(
        try ledger.lines("SELECT status::text FROM ops_missions ORDER BY status::text")
          == ["failed", "succeeded"])
      try ledger.expectEqual()
    }
  }

  @Test(
    "an outcome of a worker whose step a manual change has changed is refused, and changes nothing")
  func fenced() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      let claim = try engine.claim(1, worker: "w")
      let held = try #require(claim.steps.first)
      try ledger.execute("UPDATE ops_mission_steps SET status = 'succeeded', result = '\"hand\"'")
      let late = try engine.complete([StepOutcome(held, .succeeded(#""late""#))])
      #expect(late.refused.map(\.1.code) == [.claimLost])
      #expect(try ledger.value("SELECT result FROM ops_mission_steps") == "\"hand\"")
      try ledger.expectEqual()
    }
  }

  @Test(
    "a policy that a manual change removed, and the engine sets again, goes on from its last version"
  )
  func removedPolicy() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      try ledger.execute("DELETE FROM ops_policy WHERE key = 'proposal_caps'")
      let change = try engine.setPolicy(
        "proposal_caps", to: .object(["daily_limit": .int(9)]), why: nil)
      #expect(change.version == 3)
      try ledger.expectEqual()
    }
  }

  private func submitPending(_ engine: Engine, _ ledger: TestLedger) throws -> SubmissionOutcome {
    _ = try engine.setPolicy("auto_approve", to: .object(["enabled": .bool(false)]), why: nil)
    return try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
  }
}
