import JSON
import Ledger
import Log
import OpsLoop
import TestLedgers
import Testing

/// Agent events go in, work comes out, and every row of it equals the log.
@Suite(.needsServer)
struct StraightPathTests {
  @Test("an event becomes a reaction, a proposal, a mission, and steps that succeed in order")
  func success() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      try engine.emit(
        "build:main:failed",
        .object(["build": .string("main-17"), "source": .string("ci")]))
      let beat = try engine.heartbeat(drain: false)
      #expect((beat.events, beat.queued, beat.processed, beat.created) == (1, 1, 1, 1))
      let report = try engine.work()
      #expect((report.claimed, report.succeeded, report.failed, report.refused) == (3, 3, 0, 0))
      #expect(report.waiting == nil)
      #expect(try ledger.history("proposal") == ["submitted", "auto_approved"])
      #expect(try ledger.history("mission") == ["created", "started", "succeeded"])
      #expect(
        try ledger.history("step")
          == ["created", "created", "created"]
          + Array(repeating: ["leased", "succeeded"], count: 3).flatMap { $0 })
      #expect(
        try ledger.lines(
          "SELECT ordinal, status, failure_count FROM ops_mission_steps ORDER BY updated_at")
          == ["0|succeeded|0", "1|succeeded|0", "2|succeeded|0"])
      #expect(
        try ledger.value("SELECT params->>'note' FROM ops_mission_steps WHERE ordinal = 0")
          == "collect the log of main-17")
      #expect(
        try ledger.ownEvents()
          == Array(repeating: "step:noop:succeeded", count: 3) + ["mission:succeeded"])
      try ledger.expectEqual()
    }
  }

  @Test("a drain takes events and reactions side by side, each once, and says so batch by batch")
  func drain() throws {
    try TestLedger.withSlowClock { ledger in
      var settings = LoopSettings()
      (settings.eventBatch, settings.reactionBatch) = (7, 5)
      let engine = try ledger.engine("test", settings)
      for number in 0..<60 {
        try engine.emit(
          "build:main:failed",
          .object(["build": .string("main-\(number)"), "source": .string("ci")]))
      }
      var batches: [Int] = []
      let beat = try engine.heartbeat(drain: true) { batches.append($0.events) }
      #expect((beat.events, beat.queued, beat.processed, beat.created) == (60, 60, 60, 60))
      #expect(batches.reduce(0, +) == 60)
      #expect(batches.max() == 7)
      #expect(try ledger.count("ops_missions") == 60)
      #expect(try ledger.count("ops_agent_reactions WHERE status = 'done'") == 60)
      let idle = try engine.heartbeat(drain: true)
      #expect((idle.events, idle.processed) == (0, 0))
      try ledger.expectEqual()
    }
  }

  @Test("a second heartbeat on an idle ledger does nothing")
  func idle() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      try engine.emit("job:flaky", .object(["job": .string("j")]))
      _ = try engine.heartbeat(drain: true)
      try engine.work()
      for _ in 0..<2 {
        let beat = try engine.heartbeat(drain: false)
        #expect((beat.events, beat.queued, beat.processed, beat.created) == (0, 0, 0, 0))
      }
    }
  }

  @Test("a step that fails is tried again after its backoff, and succeeds")
  func retry() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(
        .noops(.object(["fail_times": .int(2)])), source: .manual, dedupeKey: nil)
      let first = try engine.work()
      #expect((first.claimed, first.succeeded, first.failed) == (1, 0, 1))
      #expect(first.waiting?.notBefore == 1)
      #expect(
        try ledger.value(
          """
          SELECT not_before - updated_at BETWEEN '0.5 s' AND '1.5 s' AND reserved_at IS NOT NULL
            AND lease_expires_at IS NULL AND leased_by IS NULL FROM ops_mission_steps
          """) == "true")
      #expect(try engine.work().claimed == 0)
      try ledger.moveClock(seconds: 2)
      #expect(try engine.work().failed == 1)
      try ledger.moveClock(seconds: 4)
      #expect(try engine.work().succeeded == 1)
      #expect(
        try ledger.lines("SELECT status, error IS NULL FROM ops_action_runs ORDER BY started_at")
          == ["failed|false", "failed|false", "succeeded|true"])
      #expect(try ledger.value("SELECT failure_count FROM ops_mission_steps") == "2")
      try ledger.expectEqual()
    }
  }

  @Test("the third failure is the dead letter: what follows is skipped, the mission fails")
  func deadLetter() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine, .failing, .fine), source: .manual, dedupeKey: nil)
      for _ in 0..<3 {
        try engine.work()
        try ledger.moveClock(seconds: 400)
      }
      #expect(
        try ledger.lines(
          "SELECT ordinal, status, failure_count, last_error FROM ops_mission_steps ORDER BY 1")
          == [
            "0|succeeded|0|", "1|failed|3|OPS_007: told to fail",
            "2|failed|0|skipped: step 1 failed",
          ])
      #expect(try ledger.history("mission") == ["created", "started", "failed"])
      #expect(
        try ledger.ownEvents()
          == ["step:noop:succeeded", "step:noop:failed", "mission:failed"])
      #expect(
        try ledger.value(
          """
          SELECT data->>'error' FROM ops_agent_events AS a JOIN ops_missions AS m
            ON m.id = a.mission_id AND m.id::text = a.data->>'mission_id'
              AND m.proposal_id::text = a.data->>'proposal_id'
          WHERE a.type = 'mission:failed' AND a.dedupe_key = m.id || ':failed:' || m.version
          """) == "OPS_007: told to fail")
      #expect(try engine.work().claimed == 0)
      try ledger.expectEqual()
    }
  }

  @Test("one attempt in all is one: the first failure is the dead letter", arguments: [0, 1])
  func oneAttempt(retries: Int) throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(
        .noops(.failing, retries: retries), source: .manual, dedupeKey: nil)
      try engine.work()
      #expect(
        try ledger.value("SELECT status || ' ' || failure_count FROM ops_mission_steps")
          == "failed 1")
    }
  }

  @Test("a radar step adds once and updates once, in the entry of its outcome")
  func radar() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      try engine.emit("scout:find", .object(["summary": .string("Offline mode")]))
      _ = try engine.heartbeat(drain: true)
      try engine.work()
      try engine.emit("demand:confirmed", .object(["title": .string("Offline mode")]))
      _ = try engine.heartbeat(drain: true)
      try engine.work()
      #expect(
        try ledger.lines("SELECT title, stage, version FROM ops_demand_radar")
          == ["Offline mode|validating|2"])
      #expect(
        try ledger.count(
          """
          ledger.events AS r JOIN ledger.events AS s USING (entry)
          WHERE r.type LIKE 'radar.%' AND s.type = 'step.succeeded'
          """) == 2)
      try ledger.expectEqual()
    }
  }

  @Test("a radar step that cannot be done is a failed attempt, and the radar stays")
  func radarRefused() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(
        .radar("update", ["title": .string("nowhere")]), source: .manual, dedupeKey: nil)
      try engine.work()
      #expect(try ledger.history("run") == ["started", "failed"])
      #expect(try ledger.value("SELECT meta->>'class' FROM ops_action_runs") == "refused")
      #expect(try ledger.count("ops_demand_radar") == 0)
      try ledger.expectEqual()
    }
  }

  @Test("a template that names a path which is not there is an outcome, and others go on")
  func missingPath() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      try engine.emit("job:flaky", .object(["other": .string("j")]))
      try engine.emit("job:flaky", .object(["job": .string("j")]))
      let beat = try engine.heartbeat(drain: true)
      #expect((beat.events, beat.queued) == (2, 1))
      #expect(
        try ledger.count(
          """
          ledger.events AS e, json_array_elements(e.data->'patterns') AS p
          WHERE e.type = 'agent_event.processed' AND p->>'pattern' = 'flaky-job'
            AND p->>'reason' = 'template'
          """) == 1)
      #expect(try ledger.count("ops_agent_events WHERE processed_at IS NULL") == 0)
      try ledger.expectEqual()
    }
  }

  @Test("our own events are born processed, unless a pattern watches for their like")
  func ownEvents() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      try engine.work()
      #expect(try ledger.ownEvents() == ["step:noop:succeeded", "mission:succeeded"])
      try engine.set(
        "reaction_matrix",
        """
        {"patterns": [
          {"id": "all", "event_type": "*", "template": {"steps": [{"kind": "noop"}]}},
          {"id": "after", "event_type": "mission:succeeded",
           "template": {"risk_level": "low", "steps": [{"kind": "noop"}]}}]}
        """)
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      try engine.work()
      #expect(
        try ledger.ownEvents().suffix(2)
          == ["step:noop:succeeded", "mission:succeeded unprocessed"])
      try ledger.expectEqual()
    }
  }
}
