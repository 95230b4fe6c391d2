import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import Replay
import TestLedgers
import Testing

@Suite("Erasure", .needsServer)
struct ErasingTests {
  static let secret = "hush4711"

  /// An event whose summary is the secret, and all that came of it; a failing mission that repeats it; a manual change's word.
  static func history(_ ledger: TestLedger, _ engine: Engine) throws -> (
    event: StreamID, mission: StreamID
  ) {
    try engine.set(
      "reaction_matrix",
      #"""
      {"patterns": [
        {"id": "find", "event_type": "scout:find", "template": {"title": "Look: {{ event.data.summary }}",
          "risk_level": "low", "steps": [
            {"kind": "radar", "params": {"action": "add", "params": {"title": "{{ event.data.summary }}"}}},
            {"kind": "noop", "params": {"error": "cannot {{ event.data.summary }}"}, "max_retries": 1}]}},
        {"id": "again", "event_type": "mission:failed", "template": {"title": "Again",
          "risk_level": "low", "steps": [{"kind": "noop", "params": {"after": "{{ event.data.error }}"}}]}}]}
      """#)
    let event = try engine.emit(
      "scout:find", .object(["summary": .string(secret), "source": .string("scout")]))
    _ = try engine.heartbeat(drain: true) { _ in }
    try engine.work()
    _ = try engine.heartbeat(drain: true) { _ in }
    try engine.work()
    let first = try #require(
      StreamID(
        ledger.value(
          """
          SELECT m.id FROM ops_missions AS m JOIN ops_mission_proposals AS p ON p.id = m.proposal_id
          WHERE p.template ->> 'title' LIKE 'Look%'
          """)))
    try ledger.execute(
      """
      UPDATE ops_mission_steps SET last_error = 'a hand: \(secret)' WHERE mission_id = '\(first)';
      UPDATE ops_mission_steps SET last_error = NULL WHERE mission_id = '\(first)'
      """)
    return (event.eventID, first)
  }

  /// Every row of every table of ours that holds the text.
  static func holders(_ ledger: TestLedger, _ text: String = secret) throws -> [String] {
    try ledger.lines(
      """
      SELECT c.oid::regclass::text AS name FROM pg_class AS c
      WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'ledger'::regnamespace)
        AND (xpath('/row/n/text()', query_to_xml(format(
          'SELECT count(*) AS n FROM %s AS t WHERE t::text LIKE %L', c.oid::regclass, '%\(text)%'),
          false, true, '')))[1]::text::int > 0 ORDER BY 1
      """)
  }

  @Test(
    "a mission's words are nowhere, nor their copies; what happened is", arguments: [true, false])
  func mission(byEvent: Bool) throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      let (event, mission) = try Self.history(ledger, engine)
      let before = try Self.holders(ledger)
      #expect(before.count >= 7, "\(before)")
      let target: ErasureTarget = byEvent ? .event(event) : .mission(mission)
      let seen = try engine.erase(target, why: "asked for", onlyLooking: true)
      #expect(seen.entry == nil)
      let report = try engine.erase(target, why: "asked for")
      #expect(report.rows == seen.rows)
      #expect(try Self.holders(ledger) == [])
      try ledger.expectEqual()
      for (rowType, count) in report.rows {
        #expect(
          try ledger.history(rowType.rawValue).count { $0 == "erased" } == count, "\(rowType)")
      }
      // Of both missions.
      #expect(report.rows[.mission] == 2 && report.rows[.proposal] == 2 && report.rows[.radar] == 1)
      #expect(
        try ledger.value("SELECT template::text FROM ops_mission_proposals LIMIT 1")
          == #"{"erased": true}"#)
      let dead = try #require(
        StreamID(try ledger.value("SELECT id FROM ops_mission_steps WHERE status = 'failed'")))
      do throws(OpsError) {
        _ = try engine.retry(dead, why: "again")
        Issue.record("nobody knows what it was to do")
      } catch {
        #expect(error.code == .erased)
      }
      #expect(try engine.retryDead(DeadStepFilter(limit: 10), why: "again").dead == 0)
      let again = try engine.erase(target, why: "once more")
      #expect(again.entry == nil && again.rows.isEmpty && again.erasedBefore > 0)
      // The tables by themselves, from the log alone.
      try ledger.executeOffTheRecord(
        "TRUNCATE ops_action_runs, ops_agent_reactions, ops_agent_events, ops_mission_steps, ops_missions, ops_mission_proposals, ops_demand_radar CASCADE"
      )
      _ = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
      try ledger.expectEqual()
      #expect(try Self.holders(ledger) == [])
    }
  }

  @Test("a row that has left is erased too, and comes back with its next number")
  func archivedPart() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      let event = try engine.emit("other:thing", .object(["note": .string(Self.secret)])).eventID
      try ledger.execute("DELETE FROM ops_agent_events WHERE id = '\(event)'")
      let id = event
      let report = try engine.erase(.event(id), why: "asked for")
      #expect(report.rows == [.agentEvent: 1] && report.events == 1)
      #expect(try Self.holders(ledger) == [])
      #expect(
        try ledger.value("SELECT version FROM ledger.tombstones WHERE stream = '\(event)'") == "3")
      try ledger.expectEqual()
      try ledger.execute(
        "INSERT INTO ops_agent_events (id, type, data) VALUES ('\(event)', 'other:thing', '{}')")
      #expect(
        try ledger.value("SELECT version FROM ops_agent_events WHERE id = '\(event)'") == "4")
      try ledger.expectEqual()
    }
  }

  @Test("a mission that has not ended is not erased, and one that nobody has is not found")
  func open() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      try engine.set(
        "reaction_matrix",
        #"{"patterns": [{"id": "f", "event_type": "a:b", "template": {"risk_level": "low", "steps": [{"kind": "noop"}]}}]}"#
      )
      let event = try engine.emit("a:b")
      _ = try engine.heartbeat(drain: true) { _ in }
      let id = event.eventID
      do throws(OpsError) {
        _ = try engine.erase(.event(id), why: "asked for")
        Issue.record("erased under its feet")
      } catch {
        #expect(error.code == .conflict)
      }
      do throws(OpsError) {
        _ = try engine.erase(.mission(id), why: "asked for")
        Issue.record("an event is no mission")
      } catch {
        #expect(error.code == .notFound)
      }
      #expect(try ledger.count("ledger.events WHERE type LIKE '%.erased'") == 0)
    }
  }

  @Test(
    "a hold on the mission, its source or its time wins, until it is released", arguments: 0..<3)
  func held(kind: Int) throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      let (event, mission) = try Self.history(ledger, engine)
      let now = try ledger.session().now()
      let scope: Hold.Scope =
        switch kind {
        case 0: .mission(mission)
        case 1: .source("scout")
        default: .time(from: Instant(micros: now.micros - 60_000_000), until: now)
        }
      let hold = try engine.placeHold(scope, why: "a case")
      do throws(OpsError) {
        _ = try engine.erase(.event(event), why: "asked for")
        Issue.record("erased what is held")
      } catch {
        #expect(error.code == .notAllowed && error.facts["hold_id"] == hold.description)
      }
      #expect(try ledger.count("ledger.events WHERE type LIKE '%.erased'") == 0)
      _ = try engine.releaseHold(hold, why: "closed")
      #expect(try engine.erase(.event(event), why: "asked for").entry != nil)
      #expect(try Self.holders(ledger) == [])
    }
  }

  @Test("the log gives up what was erased and nothing else, whoever asks")
  func guarded() throws {
    try TestLedger.withSlowClock { ledger in
      let engine = try ledger.engine()
      let event = try engine.emit("other:thing", .object(["note": .string(Self.secret)])).eventID
      let permit = "INSERT INTO ledger.erasure_permits VALUES (pg_current_xact_id());"
      for change in [
        "UPDATE ledger.events SET content = NULL, salt = NULL WHERE stream = '\(event)'",
        "UPDATE ledger.events SET actor = 'x'", "DELETE FROM ledger.events",
        "UPDATE ledger.events SET content = ledger.emptied(content), salt = NULL, commitment = sha256('x') WHERE stream = '\(event)'",
        "UPDATE ledger.checkpoints SET note = 'x'",
      ] {
        #expect(throws: PostgresError.self, "\(change)") {
          try ledger.execute("BEGIN; \(permit) \(change); COMMIT")
        }
      }
      // Without an `erased` event there is nothing to erase.
      try ledger.execute(
        "SET ROLE opsledger_repair; SELECT ledger.erase_content(ARRAY['\(event)'::uuid])")
      #expect(try Self.holders(ledger).contains("ops_agent_events"))
      #expect(throws: PostgresError.self) {
        try ledger.execute(
          "SET ROLE opsledger_engine; SELECT ledger.erase_content(ARRAY['\(event)'::uuid])")
      }
      #expect(throws: PostgresError.self) {
        try ledger.execute("SET ROLE opsledger_repair; \(permit)")
      }
      try ledger.expectEqual()
    }
  }
}
