import JSON
import Ledger
import Log
import OpsLoop
import TestLedgers
import Testing

/// Dead steps are tried again, and what was skipped with them; missions fail, reopen and end.
@Suite(.needsServer)
struct RetryTests {
  private func steps(_ ledger: TestLedger) throws -> [String] {
    try ledger.lines(
      "SELECT ordinal, status, failure_count FROM ops_mission_steps ORDER BY mission_id, ordinal")
  }

  private func workAll(_ engine: Engine, _ ledger: TestLedger) throws {
    for _ in 0..<6 {
      try engine.work()
      try ledger.moveClock(seconds: 400)
    }
  }

  private func id(_ ordinal: Int, _ ledger: TestLedger) throws -> StreamID {
    let text = try ledger.value("SELECT id FROM ops_mission_steps WHERE ordinal = \(ordinal)")
    return try #require(StreamID(text))
  }

  @Test("retried, a dead step runs again, then those skipped because of it, and the mission ends")
  func retried() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(
        .noops(.fine, .object(["fail_times": .int(3)]), .fine), source: .manual, dedupeKey: nil)
      try workAll(engine, ledger)
      #expect(try steps(ledger) == ["0|succeeded|0", "1|failed|3", "2|failed|0"])
      let skipped = #expect(throws: OpsError.self) { try engine.retry(id(2, ledger), why: nil) }
      #expect(skipped?.code == .conflict)
      #expect(skipped?.hint?.contains("\(try id(1, ledger))") == true)
      let done = #expect(throws: OpsError.self) { try engine.retry(id(0, ledger), why: nil) }
      #expect(done?.code == .conflict)
      #expect(try engine.retry(id(1, ledger), why: "disk is back").steps == 2)
      #expect(try ledger.value("SELECT status FROM ops_missions") == "failed")
      #expect(try engine.work().succeeded == 2)
      #expect(try steps(ledger) == ["0|succeeded|0", "1|succeeded|0", "2|succeeded|0"])
      #expect(
        try ledger.history("mission") == ["created", "started", "failed", "reopened", "succeeded"])
      #expect(
        try ledger.count(
          "ledger.events WHERE type = 'step.requeued' AND content->>'why' = 'disk is back'") == 2)
      try ledger.expectEqual()
    }
  }

  private static let parallel = """
    {"risk_level": "low", "parallel": true, "steps": [
      {"kind": "noop", "params": {"fail_times": 3}}, {"kind": "noop", "params": {"fail_times": 6}},
      {"kind": "noop", "needs": [0]}, {"kind": "noop", "needs": [1]}, {"kind": "noop", "needs": [3]}]}
    """

  @Test("a mission with two dead steps fails again when one of them is tried, and ends with both")
  func twoDead() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(JSON(parsing: Self.parallel), source: .manual, dedupeKey: nil)
      // Each fails twice; then both are claimed at once, and fail for good one after the other.
      for _ in 0..<2 {
        try engine.work()
        try ledger.moveClock(seconds: 400)
      }
      let claim = try engine.claim(10, worker: "a")
      #expect(claim.steps.count == 2)
      for step in claim.steps {
        _ = try engine.complete(
          [StepOutcome(step, .failed(.exit, error: "no", result: nil))])
      }
      #expect(
        try steps(ledger) == ["0|failed|3", "1|failed|3", "2|failed|0", "3|failed|0", "4|failed|0"])
      #expect(try engine.retry(id(0, ledger), why: nil).steps == 2)
      #expect(try engine.work().succeeded == 2)
      #expect(
        try ledger.history("mission") == ["created", "started", "failed", "reopened", "failed"])
      let retried = try engine.retryDead(DeadStepFilter(kind: "noop", limit: 10), why: "all")
      #expect(retried.dead == 1 && retried.steps == 3)
      try workAll(engine, ledger)
      // Six failed runs are over, and the third attempt of this retry with them.
      #expect(try engine.retryDead(DeadStepFilter(limit: 10), why: "again").dead == 1)
      try workAll(engine, ledger)
      #expect(try engine.retryDead(DeadStepFilter(limit: 10), why: "again").dead == 0)
      #expect(try ledger.value("SELECT status FROM ops_missions") == "succeeded")
      try ledger.expectEqual()
    }
  }

  @Test("what waits to be tried again is skipped with the mission, and so is who fails after it")
  func closedMission() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      let template = """
        {"risk_level": "low", "parallel": true, "steps": [
          {"kind": "noop", "max_retries": 1}, {"kind": "noop"}, {"kind": "noop"}, {"kind": "noop"}]}
        """
      _ = try engine.submit(JSON(parsing: template), source: .manual, dedupeKey: nil)
      let claim = try engine.claim(10, worker: "a")
      let failed = StepOutcome.Result.failed(.exit, error: "no", result: nil)
      for ordinal in [1, 0, 2] as [Int32] {
        let step = try #require(claim.steps.first { $0.step.ordinal == ordinal })
        _ = try engine.complete([StepOutcome(step, failed)])
      }
      let last = try #require(claim.steps.first { $0.step.ordinal == 3 })
      _ = try engine.complete([StepOutcome(last, .succeeded(nil))])
      #expect(
        try ledger.lines(
          "SELECT ordinal, status, last_error FROM ops_mission_steps ORDER BY ordinal")
          == [
            "0|failed|no", "1|failed|skipped: step 0 failed", "2|failed|skipped: step 0 failed",
            "3|succeeded|",
          ])
      #expect(try ledger.history("mission") == ["created", "started", "failed"])
      try ledger.moveClock(seconds: 400)
      #expect(try engine.claim(10, worker: "a").steps.isEmpty)
      #expect(try engine.retry(id(0, ledger), why: nil).steps == 3)
      #expect(try engine.work().succeeded == 3)
      #expect(try ledger.value("SELECT status FROM ops_missions") == "succeeded")
      try ledger.expectEqual()
    }
  }

  @Test("who fails after the only dead step was queued again is tried again as well")
  func failsBetweenRetryAndClaim() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      let template = """
        {"risk_level": "low", "parallel": true, "steps": [
          {"kind": "noop", "max_retries": 1}, {"kind": "noop"}, {"kind": "noop"}]}
        """
      _ = try engine.submit(JSON(parsing: template), source: .manual, dedupeKey: nil)
      let claim = try engine.claim(10, worker: "a")
      let failed = StepOutcome.Result.failed(.exit, error: "no", result: nil)
      func fail(_ ordinal: Int32) throws {
        let step = try #require(claim.steps.first { $0.step.ordinal == ordinal })
        _ = try engine.complete([StepOutcome(step, failed)])
      }
      try fail(0)
      #expect(try engine.retry(id(0, ledger), why: nil).steps == 1)
      // Nothing is dead now: one fails, of the other the lease runs out.
      try fail(1)
      try ledger.moveClock(seconds: 400)
      #expect(try engine.recoverLeases().requeued == 1)
      #expect(try steps(ledger) == ["0|queued|0", "1|queued|1", "2|queued|1"])
      #expect(try engine.work().succeeded == 3)
      #expect(
        try ledger.history("mission") == ["created", "started", "failed", "reopened", "succeeded"])
      try ledger.expectEqual()
    }
  }

  @Test("fail_times counts the step's failed runs, retried manually or not")
  func failTimes() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(
        .noops(.object(["fail_times": .int(5)])), source: .manual, dedupeKey: nil)
      try workAll(engine, ledger)
      #expect(try engine.retry(id(0, ledger), why: nil).steps == 1)
      try workAll(engine, ledger)
      #expect(
        try ledger.lines("SELECT status::text, count(*) FROM ops_action_runs GROUP BY 1 ORDER BY 1")
          == ["failed|5", "succeeded|1"])
      try ledger.expectEqual()
    }
  }

  @Test(
    "params that noop does not understand fail an attempt, and name the field",
    arguments: [
      ("sleep_ms", JSON.string("soon")), ("sleep_ms", .int(-1)), ("fail_times", .bool(true)),
      ("error", .int(7)),
    ])
  func nonsense(field: String, value: JSON) throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.object([field: value])), source: .manual, dedupeKey: nil)
      #expect(try engine.work().failed == 1)
      #expect(try steps(ledger) == ["0|queued|1"])
      let error = try ledger.value("SELECT last_error FROM ops_mission_steps")
      #expect(error.hasPrefix("OPS_004") && error.contains(field))
      try ledger.expectEqual()
    }
  }

  @Test("a row that a manual change made unreadable is quarantined, and the others continue")
  func unreadable() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      for _ in 0..<2 { _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil) }
      try ledger.executeOffTheRecord(
        """
        UPDATE ops_mission_steps SET needs = '{{1,2},{3,4}}' WHERE id =
          (SELECT id FROM ops_mission_steps ORDER BY id LIMIT 1);
        UPDATE ops_mission_steps SET ordinal = 9, needs = '{}' WHERE needs IS NOT NULL
        """)
      try ledger.executeOffTheRecord(
        """
        UPDATE ops_mission_steps SET updated_at = '294276-12-31' WHERE id =
          (SELECT id FROM ops_mission_steps ORDER BY id LIMIT 1)
        """)
      #expect(try engine.work().succeeded >= 1)
    }
  }
}
