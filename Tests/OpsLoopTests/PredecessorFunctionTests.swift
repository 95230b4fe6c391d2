import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import Testing

/// The origin's functions do what the origin meant. What they do in whole histories is compared with
/// the engine by `tools/proof/functions-equal-engine`.
@Suite(.needsServer)
struct PredecessorFunctionTests {
  private static let noop = #"{"risk_level": "low", "steps": [{"kind": "noop"}]}"#

  private static func create(_ template: String, key: String = "NULL") -> String {
    """
    SELECT r_status, r_mission_id IS NOT NULL, r_reason, status = r_status,
      proposal_id = r_proposal_id, mission_id IS NOT DISTINCT FROM r_mission_id
    FROM ops_create_proposal_and_maybe_autoapprove(\(key), 'api', '\(template)')
    """
  }

  /// The OPS code, or the state, that a statement ends with.
  private func failure(_ ledger: TestLedger, _ sql: String) -> String? {
    do {
      try ledger.execute(sql)
      return nil
    } catch {
      let text = "\(error)"
      guard let code = text.firstRange(of: "OPS_") else {
        return (error as? PostgresError)?.sqlstate ?? text
      }
      return String(text[code.lowerBound...].prefix(7))
    }
  }

  @Test("kinds of a template: each once, sorted, null where there is none")
  func kinds() throws {
    try TestLedger.with { ledger in
      func kinds(_ template: String) throws -> String {
        try ledger.value(
          "SELECT coalesce(ops_extract_step_kinds('\(template)')::text, 'null')")
      }
      let both = try kinds(#"{"steps": [{"kind": "b"}, {"kind": "a"}, {"kind": "b"}]}"#)
      #expect(both == "{a,b}")
      #expect(try kinds(#"{"steps": [{"kind": null}, {}, 5, {"kind": "a"}]}"#) == "{a}")
      for none in ["{}", "[]", #""text""#, #"{"steps": []}"#] {
        #expect(try kinds(none) == "null")
      }
      for broken in [#"{"steps": null}"#, #"{"steps": {}}"#] {
        #expect(failure(ledger, "SELECT ops_extract_step_kinds('\(broken)')") == "OPS_004")
      }
    }
  }

  @Test("approvable by itself: risk, kind and executor; nothing while the policy is broken or gone")
  func approvable() throws {
    try TestLedger.with { ledger in
      func approvable(_ template: String) throws -> Bool {
        try ledger.value("SELECT ops_is_auto_approvable('\(template)')") == "true"
      }
      #expect(try approvable(Self.noop))
      for not in [
        #"{"steps": [{"kind": "noop"}]}"#, #"{"risk_level": "high", "steps": [{"kind": "noop"}]}"#,
        #"{"risk_level": "low", "steps": []}"#, #"{"risk_level": "low"}"#, "[]",
        #"{"risk_level": "low", "steps": [{"kind": "noop"}, {"params": {}}]}"#,
        #"{"risk_level": "critical", "steps": [{"kind": "noop"}]}"#,
        #"{"risk_level": "low", "steps": [{"kind": "noop", "executor": "wreckit"}]}"#,
      ] {
        #expect(try !approvable(not), "\(not)")
      }
      let engine = try ledger.engine()
      try engine.set("auto_approve", #"{"enabled": true, "allowed_step_kinds": ["noop"]}"#)
      #expect(try approvable(#"{"steps": [{"kind": "noop"}]}"#))
      #expect(
        try !approvable(#"{"risk_level": "low", "steps": [{"kind": "noop", "executor": "radar"}]}"#)
      )
      for broken in [
        #"{"enabled": "yes"}"#, #"{"enabled": true, "allowed_step_kinds": null}"#, "[]",
      ] {
        try ledger.execute("UPDATE ops_policy SET value = '\(broken)' WHERE key = 'auto_approve'")
        #expect(try !approvable(Self.noop), "\(broken)")
      }
      try ledger.execute("DELETE FROM ops_policy WHERE key = 'auto_approve'")
      #expect(try !approvable(Self.noop))
    }
  }

  @Test("the gate: caps of the UTC day, of all and of a source; refused ones do not count")
  func gate() throws {
    try TestLedger.with { ledger in
      try ledger.engine().set("proposal_caps", #"{"daily_limit": 2, "per_source": {"manual": 0}}"#)
      #expect(try ledger.lines("SELECT ok FROM ops_gate_proposal('{}'::jsonb)") == ["true"])
      #expect(try ledger.lines(Self.create(Self.noop)) == ["auto_approved|true||true|true|true"])
      #expect(try ledger.lines(Self.create(Self.noop)).count == 1)
      for _ in 0..<2 {
        #expect(
          try ledger.lines(Self.create(Self.noop, key: "'k'")) == [
            "rejected|false|OPS_003: daily_limit of 2 reached (2 today; resets at 00:00 UTC)"
              + "|true|true|true"
          ])
      }
      #expect(
        try ledger.lines("SELECT ok, left(reason, 7) FROM ops_gate_proposal('{}'::jsonb)")
          == ["false|OPS_003"])
      // One that counts does not stand in its own way.
      #expect(
        try ledger.lines(
          """
          SELECT DISTINCT g.ok FROM ops_mission_proposals AS p
          CROSS JOIN LATERAL ops_gate_proposal(p.id) AS g WHERE p.status = 'auto_approved'
          """) == ["true"])
      try ledger.moveClock(seconds: 86_400)
      #expect(try ledger.lines(Self.create(Self.noop, key: "'k'"))[0].hasPrefix("auto_approved"))
      try ledger.execute(
        "UPDATE ops_policy SET value = '{\"daily_limit\": \"100\"}' "
          + "WHERE key = 'proposal_caps'")
      #expect(try ledger.lines(Self.create(Self.noop))[0].hasPrefix("rejected|false|OPS_003"))
      #expect(
        try ledger.lines(
          "SELECT * FROM ops_gate_proposal((SELECT id FROM ops_mission_proposals "
            + "WHERE status = 'pending' LIMIT 1))") == ["|there is no proposal to ask about"])
      #expect(
        failure(ledger, "SELECT ops_gate_proposal(gen_random_uuid())") == "OPS_011")
    }
  }

  @Test(
    "a key that is taken names its proposal as it now is; a bad source or template writes nothing")
  func create() throws {
    try TestLedger.with { ledger in
      let first = try ledger.lines(Self.create(Self.noop, key: "'k'"))
      #expect(try ledger.lines(Self.create(Self.noop, key: "'k'")) == first)
      for (source, template, code) in [
        ("'test'", Self.noop, "23514"), ("NULL", Self.noop, "23502"), ("'api'", "[]", "OPS_004"),
        ("'api'", #"{"steps": [{"kind": "sing"}]}"#, "OPS_005"),
        ("'api'", #"{"steps": [{"kind": "noop", "needs": [1]}]}"#, "OPS_004"),
        ("'api'", #"{"steps": [{"kind": "noop", "needs": [1]}, {"kind": "noop"}]}"#, "OPS_004"),
      ] {
        #expect(
          failure(
            ledger,
            """
            SELECT ops_create_proposal_and_maybe_autoapprove(NULL, \(source), '\(template)')
            """) == code, "\(source) \(template)")
      }
      #expect(try ledger.count("ops_mission_proposals") == 1)
      #expect(
        try ledger.lines(Self.create(#"{"risk_level": "high", "steps": [{"kind": "noop"}]}"#))
          == [
            "voting|false|risk high is above max_risk_level low|true|true|true"
          ])
      #expect(
        try ledger.lines("SELECT type, data->>'risk_level' FROM ops_agent_events")
          == ["proposal:vote_requested|high"])
    }
  }

  @Test("a vote: counted once a role, vetoed, late, refused where none is held")
  func votes() throws {
    try TestLedger.with { ledger in
      try ledger.engine().set(
        "voting_policy", #"{"enabled": true, "deadline_minutes": 5, "required_voters": ["sage"]}"#)
      func propose() throws -> String {
        try ledger.value(
          """
          SELECT r_proposal_id FROM ops_create_proposal_and_maybe_autoapprove(NULL, 'api',
            '{"risk_level": "medium", "steps": [{"kind": "noop"}]}')
          """)
      }
      func vote(_ id: String, _ role: String, _ vote: String) throws -> String {
        try ledger.value("SELECT ops_cast_vote('\(id)', '\(role)', '\(vote)', 'since')")
      }
      let approved = try propose()
      let open = #"{"status": "voting", "approvals": 1, "threshold": 2}"#
      #expect(try vote(approved, "scout", "approve") == open)
      #expect(try vote(approved, "scout", "approve") == open)
      #expect(try ledger.value("SELECT ops_check_consensus('\(approved)')") == open)
      #expect(
        try vote(approved, "quill", "approve")
          == #"{"status": "voting", "approvals": 2, "threshold": 2}"#)
      #expect(try vote(approved, "sage", "abstain") == #"{"status": "approved", "approvals": 2}"#)
      #expect(failure(ledger, "SELECT ops_cast_vote('\(approved)', 'sage', 'reject')") == "OPS_012")
      #expect(try ledger.count("ops_missions") == 1)

      let vetoed = try propose()
      #expect(try vote(vetoed, "sage", "reject") == #"{"reason": "veto", "status": "rejected"}"#)
      #expect(
        try ledger.lines("SELECT status, reason FROM ops_mission_proposals WHERE id = '\(vetoed)'")
          == ["rejected|vetoed by sage: since"])

      let late = try propose()
      try ledger.moveClock(seconds: 301)
      #expect(try vote(late, "sage", "approve").contains(#""status": "pending""#))
      #expect(
        try ledger.value("SELECT votes FROM ops_mission_proposals WHERE id = '\(late)'") == "{}")

      for (call, state) in [
        ("gen_random_uuid(), 'sage', 'approve'", "OPS_011"), ("'\(late)', 'sage', 'no'", "OPS_019"),
        ("'\(late)', '', 'approve'", "OPS_019"), ("'\(late)', 'sage', NULL", "OPS_019"),
      ] {
        #expect(failure(ledger, "SELECT ops_cast_vote(\(call))") == state)
      }
    }
  }

  @Test("a mission is made of what is approved, with its steps in the template's order")
  func mission() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        INSERT INTO ops_mission_proposals (source, status, template)
        VALUES ('manual', 'pending', '{"steps": [{"kind": "noop", "max_retries": 2},
          {"kind": "radar", "params": {"action": "list"}}, {"kind": "noop", "needs": [0]}]}')
        """)
      let make = "SELECT ops_create_mission_from_proposal(id) FROM ops_mission_proposals"
      #expect(failure(ledger, make) == "OPS_012")
      try ledger.execute("UPDATE ops_mission_proposals SET status = 'approved'")
      let id = try ledger.value(make)
      #expect(try ledger.value(make) == id)
      #expect(
        try ledger.lines(
          """
          SELECT m.status, m.started_at, s.ordinal, s.kind, s.executor, s.needs, s.max_retries,
            s.status FROM ops_missions AS m JOIN ops_mission_steps AS s ON s.mission_id = m.id
          ORDER BY s.ordinal
          """) == [
            "approved||0|noop|noop|[]|2|queued", "approved||1|radar|radar|[0]||queued",
            "approved||2|noop|noop|[0]||queued",
          ])
    }
  }

  @Test("a claim follows the template's order, and takes nothing that is blocked, or while halted")
  func claim() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      _ = try ledger.lines(
        Self.create(
          #"{"risk_level": "low", "steps": [{"kind": "noop"}, {"kind": "radar"}]}"#))
      let claim = "SELECT ordinal, status, leased_by FROM ops_claim_next_step(5)"
      _ = try engine.setLoop(.halted, why: "test")
      #expect(try ledger.lines(claim) == [])
      _ = try engine.setLoop(.running, why: "test")
      try engine.set("worker_policy", #"{"blocked_executors": ["noop"]}"#)
      #expect(try ledger.lines(claim) == [])
      // What a manual change broke leaves the last valid version in force.
      try ledger.execute("UPDATE ops_policy SET value = '[]' WHERE key = 'worker_policy'")
      #expect(try ledger.lines(claim) == [])
      try engine.set("worker_policy", "{}")
      #expect(try ledger.lines(claim) == ["0|running|psql/postgres"])
      #expect(try ledger.lines("SELECT status FROM ops_missions") == ["running"])
      #expect(try ledger.lines(claim) == [])
      try ledger.execute("UPDATE ops_mission_steps SET status = 'succeeded' WHERE ordinal = 0")
      #expect(try ledger.lines(claim) == ["1|running|psql/postgres"])
      for minutes in [0, -1] {
        #expect(failure(ledger, "SELECT ops_claim_next_step(\(minutes))") == "OPS_019")
      }
    }
  }

  @Test("leases that run out are failed attempts, and after the last the mission has failed")
  func recover() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set("worker_policy", #"{"max_retries": 2}"#)
      try engine.set(
        "reaction_matrix",
        #"{"patterns": [{"id": "a", "event_type": ["b", "step:*:failed"], "template": {}}]}"#)
      _ = try ledger.lines(
        Self.create(#"{"risk_level": "low", "steps": [{"kind": "noop"}, {"kind": "noop"}]}"#))
      let recover = "SELECT * FROM ops_recover_expired_leases()"
      for answer in ["1|0", "0|1"] {
        _ = try ledger.value("SELECT id FROM ops_claim_next_step(5)")
        try ledger.execute(
          """
          INSERT INTO ops_action_runs (step_id, status, meta)
          SELECT id, 'started', '{"kind": "noop"}' FROM ops_mission_steps WHERE ordinal = 0
          """)
        #expect(try ledger.lines(recover) == ["0|0"])
        try ledger.moveClock(seconds: 301)
        #expect(try ledger.lines(recover) == [answer])
      }
      #expect(
        try ledger.lines(
          """
          SELECT ordinal, status, failure_count, last_error, lease_expires_at
          FROM ops_mission_steps ORDER BY ordinal
          """) == ["0|failed|2|Lease expired|", "1|failed|0|skipped: step 0 failed|"])
      #expect(
        try ledger.lines("SELECT status, meta, error FROM ops_action_runs ORDER BY started_at")
          == [true, false].map { retrying in
            #"failed|{"kind": "noop", "class": "lease_expired", "retrying": \#(retrying)}|"#
              + "Lease expired"
          })
      #expect(
        try ledger.lines("SELECT status, completed_at IS NOT NULL FROM ops_missions")
          == ["failed|true"])
      #expect(
        try ledger.ownEvents().sorted()
          == ["mission:failed", "step:noop:failed unprocessed"])
    }
  }

  @Test("stale is what has no live lease and was not touched; claiming long ago is not")
  func stale() throws {
    try TestLedger.with { ledger in
      for _ in 0..<2 { _ = try ledger.lines(Self.create(Self.noop)) }
      let held = try ledger.value("SELECT id FROM ops_claim_next_step(60)")
      _ = try ledger.value("SELECT id FROM ops_claim_next_step(NULL)")
      try ledger.moveClock(seconds: 1000)
      #expect(try ledger.value("SELECT recovered_steps FROM ops_recover_stale_steps(30)") == "0")
      #expect(try ledger.value("SELECT ops_recover_stale_steps()") == "1")
      #expect(
        try ledger.lines("SELECT id FROM ops_mission_steps WHERE status = 'running'") == [held])
      #expect(failure(ledger, "SELECT ops_recover_stale_steps(-1)") == "OPS_019")
    }
  }

  @Test("a mission ends when its steps have, and not before; one without steps, never")
  func finalize() throws {
    try TestLedger.with { ledger in
      let finalize = "SELECT ops_maybe_finalize_mission(id) FROM ops_missions"
      try ledger.execute("INSERT INTO ops_missions (status) VALUES ('running')")
      try ledger.execute(finalize)
      #expect(try ledger.lines("SELECT status FROM ops_missions") == ["running"])
      try ledger.execute("DELETE FROM ops_missions")
      _ = try ledger.lines(
        Self.create(#"{"risk_level": "low", "steps": [{"kind": "noop"}, {"kind": "noop"}]}"#))
      _ = try ledger.value("SELECT id FROM ops_claim_next_step(5)")
      try ledger.execute("UPDATE ops_mission_steps SET status = 'succeeded' WHERE ordinal = 0")
      try ledger.execute(finalize)
      #expect(try ledger.lines("SELECT status FROM ops_missions") == ["running"])
      _ = try ledger.value("SELECT id FROM ops_claim_next_step(5)")
      try ledger.execute("UPDATE ops_mission_steps SET status = 'succeeded' WHERE ordinal = 1")
      try ledger.execute(finalize)
      #expect(
        try ledger.lines("SELECT status, completed_at IS NOT NULL FROM ops_missions")
          == ["succeeded|true"])
      try ledger.execute("UPDATE ops_mission_steps SET status = 'failed' WHERE ordinal = 1")
      try ledger.execute(finalize)
      #expect(try ledger.lines("SELECT status FROM ops_missions") == ["succeeded"])
      try ledger.execute("SELECT ops_maybe_finalize_mission(gen_random_uuid())")
    }
  }

  @Test(
    "in a failed mission a death skips what waited then, and what was queued since is left alone")
  func finalizeFailed() throws {
    try TestLedger.with { ledger in
      _ = try ledger.lines(
        Self.create(
          #"{"risk_level": "low", "parallel": true, "steps": [{"kind": "noop"}, {"kind": "noop"}, "#
            + #"{"kind": "noop"}]}"#))
      for _ in 0..<3 { _ = try ledger.value("SELECT id FROM ops_claim_next_step(5)") }
      func write(_ step: Int, _ columns: String) throws {
        try ledger.moveClock(seconds: 1)
        try ledger.execute("UPDATE ops_mission_steps SET \(columns) WHERE ordinal = \(step)")
        try ledger.execute("SELECT ops_maybe_finalize_mission(id) FROM ops_missions")
      }
      func statuses() throws -> [String] {
        try ledger.lines("SELECT status FROM ops_mission_steps ORDER BY ordinal")
      }
      try write(0, "status = 'failed', failure_count = 3, last_error = 'no'")
      #expect(try ledger.lines("SELECT status FROM ops_missions") == ["failed"])
      #expect(try statuses() == ["failed", "running", "running"])
      try write(0, "status = 'queued', failure_count = 0, last_error = NULL")
      try write(1, "status = 'failed', last_error = 'skipped: step 0 failed'")
      #expect(try statuses() == ["queued", "failed", "running"])
      try write(2, "status = 'failed', failure_count = 3, last_error = 'no'")
      #expect(try statuses() == ["failed", "failed", "failed"])
      #expect(
        try ledger.count("ops_mission_steps WHERE last_error = 'skipped: step 2 failed'") == 1)
    }
  }

  @Test("the origin's trigger function serves tables of others, whoever writes them")
  func updatedAt() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        SET ROLE opsledger_tables;
        CREATE TABLE notes (body text, updated_at timestamptz);
        CREATE TRIGGER notes_set_updated_at BEFORE UPDATE ON notes
          FOR EACH ROW EXECUTE FUNCTION ops_set_updated_at();
        INSERT INTO notes VALUES ('a', '2000-01-01');
        GRANT SELECT, UPDATE ON notes TO opsledger_auditor;
        SET ROLE opsledger_auditor; UPDATE notes SET updated_at = '1999-01-01'
        """)
      #expect(try ledger.count("notes WHERE updated_at > '2020-01-01'") == 1)
    }
  }
}
