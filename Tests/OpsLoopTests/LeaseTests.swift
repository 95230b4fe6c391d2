import JSON
import Ledger
import Log
import OpsLoop
import TestLedgers
import Testing

/// An outcome is recorded by the holder of the lease, and by no other.
@Suite(.needsServer)
struct LeaseTests {
  @Test("an expired lease is a failed attempt of its own class, tried again at once")
  func expires() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      let claim = try engine.claim(10, worker: "worker/gone")
      #expect(claim.steps.count == 1)
      #expect(try engine.recoverLeases().requeued == 0)
      try ledger.moveClock(seconds: 301)
      let beat = try engine.heartbeat(drain: false)
      #expect(beat.recovered.requeued == 1)
      #expect(
        try ledger.history("step") == ["created", "leased", "attempt_failed", "retry_scheduled"])
      #expect(try ledger.value("SELECT meta->>'class' FROM ops_action_runs") == "lease_expired")
      #expect(try ledger.count("ops_mission_steps WHERE not_before IS NOT NULL") == 0)
      #expect(try engine.work("worker/next").succeeded == 1)
      try ledger.expectEqual()
    }
  }

  @Test("a worker whose lease was taken back is refused and changes nothing")
  func stale() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      let stale = try engine.claim(10, worker: "worker/slow")
      try ledger.moveClock(seconds: 301)
      _ = try engine.recoverLeases()
      let fresh = try engine.claim(10, worker: "worker/quick")
      let before = try ledger.count("ledger.events")
      let late = try engine.complete(
        [StepOutcome(stale.steps[0], .succeeded("{}"))])
      #expect(late.refused.map(\.1.code) == [.claimLost])
      #expect(late.succeeded == 0)
      #expect(try ledger.count("ledger.events") == before)
      let done = try engine.complete(
        [StepOutcome(fresh.steps[0], .succeeded("{}"))])
      #expect(done.succeeded == 1)
      let twice = try engine.complete(
        [StepOutcome(fresh.steps[0], .failed(.exit, error: "no", result: nil))])
      #expect(twice.refused.map(\.1.code) == [.claimLost])
      try ledger.expectEqual()
    }
  }

  @Test("a renewed lease lasts, under a new token that the old one does not match")
  func renewed() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      let claim = try engine.claim(10, worker: "worker/long")
      let held = claim.steps[0]
      try ledger.moveClock(seconds: 200)
      let renewed = try engine.renew([(held.step.id, held.token)])
      let token = try #require(renewed[held.step.id])
      try ledger.moveClock(seconds: 200)
      #expect(try engine.recoverLeases().requeued == 0)
      #expect(try engine.renew([(held.step.id, held.token)]).isEmpty)
      let late = try engine.complete([StepOutcome(held, .succeeded(nil))])
      #expect(late.refused.map(\.1.code) == [.claimLost])
      var current = held
      current.token = token
      #expect(
        try engine.complete([StepOutcome(current, .succeeded(nil))]).succeeded == 1)
      #expect(
        try ledger.history("step") == ["created", "leased", "renewed", "succeeded"])
      try ledger.expectEqual()
    }
  }

  @Test("leases that expire three times are a dead letter")
  func expiresForGood() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine, .fine), source: .manual, dedupeKey: nil)
      for _ in 0..<3 {
        #expect(try engine.claim(10, worker: "worker/gone").steps.count == 1)
        try ledger.moveClock(seconds: 301)
        _ = try engine.recoverLeases()
      }
      #expect(
        try ledger.lines(
          "SELECT status, failure_count, last_error FROM ops_mission_steps ORDER BY ordinal")
          == ["failed|3|Lease expired", "failed|0|skipped: step 0 failed"])
      #expect(try ledger.history("mission") == ["created", "started", "failed"])
      try ledger.expectEqual()
    }
  }

  @Test("workers at the same time share the steps out, each step to one")
  func shared() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      try engine.set("proposal_caps", "{}")
      for _ in 0..<30 {
        _ = try engine.submit(.noops(.fine, .fine), source: .manual, dedupeKey: nil)
      }
      let reports = try atOnce(4) { index in
        try ledger.engine("worker/\(index)").work("worker/\(index)")
      }
      #expect(reports.map(\.succeeded).reduce(0, +) == 60)
      #expect(reports.map(\.refused).reduce(0, +) == 0)
      #expect(try ledger.count("ledger.events WHERE type = 'step.succeeded'") == 60)
      #expect(try ledger.count("ops_missions WHERE status = 'succeeded'") == 30)
      try ledger.expectEqual()
    }
  }

  @Test("a step runs after those that it needs, and not before")
  func needs() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      let template = try JSON(
        parsing: """
          {"risk_level": "low", "parallel": true, "steps": [
            {"kind": "noop"}, {"kind": "noop"}, {"kind": "noop", "needs": [0, 1]}]}
          """)
      _ = try engine.submit(template, source: .manual, dedupeKey: nil)
      let first = try engine.claim(10, worker: "a")
      #expect(first.steps.map(\.step.ordinal) == [0, 1])
      #expect(try engine.claim(10, worker: "b").steps.isEmpty)
      _ = try engine.complete([StepOutcome(first.steps[0], .succeeded(nil))])
      #expect(try engine.claim(10, worker: "b").steps.isEmpty)
      _ = try engine.complete([StepOutcome(first.steps[1], .succeeded(nil))])
      #expect(try engine.claim(10, worker: "b").steps.map(\.step.ordinal) == [2])
    }
  }
}
