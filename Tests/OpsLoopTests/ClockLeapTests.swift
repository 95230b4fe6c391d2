import JSON
import Ledger
import Log
import OpsLoop
import TestLedgers
import Testing

/// The clock leaps a year forward, the loop goes on for a while, and the clock leaps back. What was done in
/// that year's future hinders nothing afterwards.
@Suite("Clocks that leap", .needsServer)
struct ClockLeapTests {
  private static let year = 365.0 * 86_400

  /// A ledger whose clock is a year ahead while `future` runs, and right again in `present`.
  private func leap(
    _ future: (TestLedger, Engine) throws -> Void, _ present: (TestLedger, Engine) throws -> Void
  ) throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try ledger.moveClock(seconds: Self.year)
      try future(ledger, engine)
      try ledger.moveClock(seconds: -Self.year)
      try present(ledger, engine)
      try ledger.expectEqual()
    }
  }

  @Test("proposals of the future do not count against the caps of today")
  func caps() throws {
    try leap(
      { (ledger: TestLedger, engine: Engine) throws in
        try engine.set("proposal_caps", #"{"daily_limit": 2}"#)
        for _ in 0..<3 { _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil) }
      },
      { (ledger: TestLedger, engine: Engine) throws in
        for expected: Proposal.Status in [.autoApproved, .autoApproved, .rejected] {
          let outcome = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
          #expect(outcome.status == expected)
        }
        #expect(try engine.policyReport().today == ["manual": 2])
        #expect(
          try ledger.value("SELECT (ledger.gate('manual', NULL)).ok") == "false",
          "the function counts as the engine does")
        try ledger.moveClock(seconds: 86_400)
        #expect(try ledger.value("SELECT (ledger.gate('manual', NULL)).ok") == "true")
      })
  }

  @Test("steps that were made in the future run now, by a worker and by the function")
  func steps() throws {
    try leap(
      { (ledger: TestLedger, engine: Engine) throws in
        _ = try engine.submit(.noops(.fine, .fine), source: .manual, dedupeKey: nil)
        _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      },
      { (ledger: TestLedger, engine: Engine) throws in
        #expect(try ledger.count("ops_claim_next_step(1)") == 1)
        #expect(try engine.work().succeeded >= 1)
        #expect(try ledger.count("ops_mission_steps WHERE status = 'queued'") <= 1)
      })
  }

  @Test("a retry that was put off in the future is tried now; one that a person put off is not")
  func retries() throws {
    try leap(
      { (ledger: TestLedger, engine: Engine) throws in
        _ = try engine.submit(.noops(.failing), source: .manual, dedupeKey: nil)
        _ = try engine.work()
        #expect(try ledger.count("ops_mission_steps WHERE not_before > ledger.now()") == 1)
      },
      { (ledger: TestLedger, engine: Engine) throws in
        _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
        try ledger.execute(
          """
          UPDATE ops_mission_steps SET not_before = ledger.now() + interval '30 days'
          WHERE failure_count = 0
          """)
        #expect(try engine.work().claimed == 0)
        #expect(try engine.heartbeat(drain: true).failure == nil)
        #expect(try engine.work().claimed == 1)
        #expect(try ledger.count("ops_mission_steps WHERE not_before > ledger.now()") == 2)
      })
  }

  @Test("a lease of the future whose worker has gone is taken back; that of one who is here is not")
  func leases() throws {
    try leap(
      { (ledger: TestLedger, engine: Engine) throws in
        _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
        _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
        #expect(try engine.claim(1, worker: "worker/gone").steps.count == 1)
        #expect(try engine.claim(1, worker: "worker/here").steps.count == 1)
        try ledger.execute(
          """
          INSERT INTO ledger.workers
            SELECT n, 'h', 1, true, 1, 1, 1, clock_timestamp(),
              clock_timestamp() + CASE n WHEN 'worker/gone' THEN interval '1 year' ELSE '0' END
            FROM unnest(ARRAY['worker/gone', 'worker/here']) AS n
          """)
      },
      { (ledger: TestLedger, engine: Engine) throws in
        #expect(try engine.session.workers().map(\.isGone) == [true, false])
        #expect(try engine.heartbeat(drain: true).recovered.requeued == 1)
        #expect(
          try ledger.lines("SELECT leased_by FROM ops_mission_steps WHERE status = 'running'")
            == ["worker/here"])
        #expect(try ledger.count("ledger.workers") == 1)
      })
  }

  @Test("a lease that a clock set back by seconds began is left to its worker")
  func smallLeap() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      #expect(try engine.claim(1, worker: "worker/a").steps.count == 1)
      try ledger.moveClock(seconds: -60)
      #expect(try engine.recoverLeases().total == 0)
    }
  }

  @Test("steps that were claimed in the future without a lease go stale")
  func stale() throws {
    try leap(
      { (ledger: TestLedger, engine: Engine) throws in
        _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
        #expect(try ledger.count("ops_claim_next_step(NULL)") == 1)
      },
      { (ledger: TestLedger, engine: Engine) throws in
        #expect(try engine.heartbeat(drain: true).recovered.stale == 1)
      })
  }

  @Test("a pattern that reacted in the future does not cool down for a year")
  func cooldown() throws {
    try leap(
      { (ledger: TestLedger, engine: Engine) throws in
        try engine.set(
          "reaction_matrix",
          """
          {"patterns": [{"id": "p", "event_type": "a:b", "cooldown_minutes": 10,
            "template": {"risk_level": "low", "steps": [{"kind": "noop"}]}}]}
          """)
        try engine.emit("a:b")
        #expect(try engine.heartbeat(drain: true).queued == 1)
      },
      { (ledger: TestLedger, engine: Engine) throws in
        try engine.emit("a:b")
        #expect(try engine.heartbeat(drain: true).queued == 1)
        try engine.emit("a:b")
        #expect(try engine.heartbeat(drain: true).queued == 0, "now it cools down")
      })
  }

  @Test("a vote of the future ends, and a person decides")
  func votes() throws {
    try leap(
      { (ledger: TestLedger, engine: Engine) throws in
        try engine.set("voting_policy", #"{"enabled": true, "deadline_minutes": 60}"#)
        let outcome = try engine.submit(
          .noops(.fine, risk: "high"), source: .manual, dedupeKey: nil)
        #expect(outcome.status == .voting)
      },
      { (ledger: TestLedger, engine: Engine) throws in
        #expect(try engine.heartbeat(drain: true).votesExpired == 1)
        #expect(try ledger.value("SELECT status FROM ops_mission_proposals") == "pending")
      })
  }

  @Test("what a manual change put in in the future is gone on from")
  func attention() throws {
    try leap(
      { (ledger: TestLedger, engine: Engine) throws in
        try ledger.execute(
          """
          INSERT INTO ops_mission_proposals (source, status, template)
            VALUES ('manual', 'approved', '{"steps": [{"kind": "noop"}]}')
          """)
      },
      { (ledger: TestLedger, engine: Engine) throws in
        #expect(try engine.heartbeat(drain: true).failure == nil)
        #expect(try engine.work().succeeded == 1)
      })
  }

  @Test("status speaks of now: no heartbeat, dead letter or mission of the future")
  func status() throws {
    try leap(
      { (ledger: TestLedger, engine: Engine) throws in
        _ = try engine.submit(.noops(.failing, retries: 1), source: .manual, dedupeKey: nil)
        _ = try engine.work()
        _ = try engine.heartbeat(drain: true)
      },
      { (ledger: TestLedger, engine: Engine) throws in
        let status = try engine.session.status()
        #expect(status.heartbeat == nil)
        #expect(status.deadLetters24h == 0)
        #expect(status.missions24h == [:])
        _ = try engine.heartbeat(drain: true)
        let now = try engine.session.status()
        let beat = try #require(now.heartbeat)
        #expect(beat.at <= now.now)
      })
  }
}
