import JSON
import Ledger
import Log
import OpsLoop
import Replay
import TestLedgers
import Testing

/// The tables back to a moment, by an entry more.
@Suite(.needsServer)
struct PointInTimeRestoreTests {
  /// Every row but for its version, and policy `loop`.
  private static let rows =
    [
      "ops_agent_events", "ops_agent_reactions", "ops_mission_proposals", "ops_missions",
      "ops_mission_steps", "ops_action_runs", "ops_policy", "ops_demand_radar",
    ].map { table in
      "SELECT '\(table) ' || (to_jsonb(t) - 'version')::text FROM \(table) AS t"
        + (table == "ops_policy" ? " WHERE t.key <> 'loop'" : "")
    }.joined(separator: " UNION ALL ") + " ORDER BY 1"

  private func live(_ ledger: TestLedger) throws -> [String] { try ledger.lines(Self.rows) }

  private func at(_ entry: Int64, _ ledger: TestLedger) throws -> [String] {
    try States.query(Self.rows, at: entry, ledger)
  }

  private static func work(_ ledger: TestLedger, _ count: Int) throws {
    let engine = try ledger.engine()
    for number in 0..<count {
      _ = try engine.emit(
        AgentEvent.Report(
          type: "scout:find", data: #"{"summary": "find \#(number)", "source": "scout"}"#,
          dedupeKey: "find-\(number)-\(UInt32.random(in: 0...UInt32.max))"))
    }
    try finish(engine)
  }

  private static func finish(_ engine: Engine) throws {
    _ = try engine.heartbeat(drain: true)
    _ = try engine.work()
  }

  /// Hands that make it hard: keys swapped, rows gone with all that goes along, and come again.
  private static func disturb(_ ledger: TestLedger) throws {
    try ledger.execute(
      """
      INSERT INTO ops_policy (key, value) VALUES ('mine', 'null'), ('theirs', '1');
      DELETE FROM ops_policy WHERE key = 'agent_roles';
      UPDATE ops_policy SET value = '{"daily_limit": 3}' WHERE key = 'proposal_caps';
      INSERT INTO ops_demand_radar (title, stage) VALUES ('new', 'watching');
      DO $$ DECLARE a record; b record; BEGIN
        SELECT id, dedupe_key INTO a FROM ops_agent_events WHERE dedupe_key IS NOT NULL ORDER BY id LIMIT 1;
        SELECT id, dedupe_key INTO b FROM ops_agent_events WHERE dedupe_key IS NOT NULL ORDER BY id OFFSET 1 LIMIT 1;
        UPDATE ops_agent_events SET dedupe_key = NULL WHERE id = a.id;
        UPDATE ops_agent_events SET dedupe_key = a.dedupe_key WHERE id = b.id;
        UPDATE ops_agent_events SET dedupe_key = b.dedupe_key WHERE id = a.id;
      END $$;
      DELETE FROM ops_missions WHERE id IN (SELECT id FROM ops_missions ORDER BY id LIMIT 1);
      DELETE FROM ops_mission_proposals WHERE id IN (SELECT p.id FROM ops_mission_proposals AS p
        WHERE NOT EXISTS (SELECT FROM ops_missions AS m WHERE m.proposal_id = p.id) LIMIT 1)
      """)
  }

  private func goBack(
    _ ledger: TestLedger, _ moment: Int64, rowsMax: Int = 250_000
  ) throws -> PointInTimeRestore {
    try TimeTravel.goBack(
      Session.Target(url: ledger.adminURL), to: moment, why: "a test", actor: "test",
      rowsMax: rowsMax)
  }

  @Test("the tables are what they were, in one slice or in many", arguments: [250_000, 40])
  func takesBack(rowsMax: Int) throws {
    try TestLedger.with { ledger in
      try Self.work(ledger, 4)
      let moment = try ledger.session().seal()
      let then = try live(ledger)
      try Self.work(ledger, 6)
      try Self.disturb(ledger)
      let mission = try ledger.value("SELECT id FROM ops_missions ORDER BY id LIMIT 1")
      _ = try ledger.engine().placeHold(
        .mission(try #require(StreamID(mission))), why: "a case")
      let before = try ledger.session().seal()
      let now = try live(ledger)
      let report = try goBack(ledger, moment, rowsMax: rowsMax)
      #expect(report.events > 50)
      let (back, folded) = (try live(ledger), try at(moment, ledger))
      #expect(back == then && folded == then)
      #expect(try ledger.verify().isEqual)
      // Holds stay.
      #expect(try ledger.count("ledger.holds") == 1)
      #expect(try at(before, ledger) == now)
      #expect(try at(report.entry, ledger) == then)
      let loop = try ledger.value("SELECT value ->> 'state' FROM ops_policy WHERE key = 'loop'")
      #expect(loop == "halted")
      #expect(
        try ledger.value(
          "SELECT string_agg(DISTINCT actor, ' ') FROM ledger.events WHERE entry = \(report.entry)")
          == "test")
      // Forward again, and back to before anything was.
      _ = try goBack(ledger, before, rowsMax: rowsMax)
      #expect(try live(ledger) == now)
      _ = try goBack(ledger, 0, rowsMax: rowsMax)
      #expect(try ledger.count("ops_policy") == 1)
      #expect(try ledger.count("ops_agent_events") == 0)
      #expect(try ledger.verify().isEqual)
      _ = try goBack(ledger, before, rowsMax: rowsMax)
      #expect(try live(ledger) == now)
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("what ran since and waits again is named, until the loop ran or it was dealt with")
  func runAgain() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      _ = try engine.emit(
        AgentEvent.Report(type: "scout:find", data: #"{"summary": "x", "source": "scout"}"#))
      let reported = try ledger.session().seal()
      _ = try engine.heartbeat(drain: true)
      let queued = try ledger.session().seal()
      #expect(try ledger.count("ops_mission_steps WHERE status = 'queued'") > 0)
      _ = try engine.work()
      let done = try ledger.session().seal()
      let session = try ledger.session()

      let steps = try ledger.count("ops_mission_steps")
      let report = try goBack(ledger, queued)
      #expect(report.again.count == steps)
      #expect(report.again.steps.allSatisfy { $0.waitsAs == .step && $0.step == $0.waiting })
      let waiting = try session.runAgain()
      #expect(waiting.moment == queued && waiting.again == report.again)

      let earlier = try goBack(ledger, reported)
      #expect(try ledger.count("ops_mission_steps") == 0)
      #expect(earlier.again.count == steps)
      #expect(earlier.again.steps.allSatisfy { $0.waitsAs == .agentEvent })
      try ledger.execute("UPDATE ops_agent_events SET processed_at = now()")
      #expect(try session.runAgain().again.count == 0)

      #expect(try goBack(ledger, done).again.count == 0)
      _ = try goBack(ledger, queued)
      _ = try engine.setLoop(.running, why: nil)
      _ = try engine.setLoop(.halted, why: nil)
      #expect(try session.runAgain().again.count == 0)
    }
  }

  @Test("a worker that ran over a going back is refused, whatever version its lease had")
  func fencesOut() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      _ = try engine.emit(
        AgentEvent.Report(type: "scout:find", data: #"{"summary": "x", "source": "scout"}"#))
      _ = try engine.heartbeat(drain: true)
      let queued = try ledger.session().seal()
      let claim = try engine.claim(10, worker: "worker/slow")
      #expect(!claim.steps.isEmpty)
      _ = try goBack(ledger, queued)
      let late = try engine.complete(
        claim.steps.map { StepOutcome($0, .succeeded("{}")) })
      #expect(late.refused.map(\.1.code) == claim.steps.map { _ in .claimLost })
      try ledger.expectEqual()
    }
  }
}
