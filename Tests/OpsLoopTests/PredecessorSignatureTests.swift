import JSON
import Ledger
import Postgres
import TestLedgers
import Testing

@testable import OpsLoop

/// The origin's functions as the catalogue has them: what its clients call, and with whose rights.
@Suite(.needsServer)
struct PredecessorSignatureTests {
  private static let signatures = [
    "ops_cast_vote(p_proposal_id uuid, p_agent_role text, p_vote text, "
      + "p_reason text DEFAULT NULL::text) jsonb",
    "ops_check_consensus(p_proposal_id uuid) jsonb",
    "ops_claim_next_step(p_lease_minutes integer) SETOF ops_mission_steps",
    "ops_create_mission_from_proposal(p_proposal_id uuid) uuid",
    "ops_create_proposal_and_maybe_autoapprove(p_dedupe_key text, p_source text, "
      + "p_template jsonb) TABLE(r_proposal_id uuid, r_status ops_proposal_status, "
      + "r_mission_id uuid, r_reason text, proposal_id uuid, status ops_proposal_status, "
      + "mission_id uuid, reason text)",
    "ops_extract_step_kinds(p_template jsonb) text[]",
    "ops_gate_proposal(p_proposal_id uuid) TABLE(ok boolean, reason text)",
    "ops_gate_proposal(p_template jsonb) TABLE(ok boolean, reason text)",
    "ops_is_auto_approvable(p_template jsonb) boolean",
    "ops_maybe_finalize_mission(p_mission_id uuid) void",
    "ops_recover_expired_leases() TABLE(requeued_steps integer, failed_steps integer)",
    "ops_recover_stale_steps() TABLE(recovered_steps integer)",
    "ops_recover_stale_steps(p_threshold_minutes integer) TABLE(recovered_steps integer)",
    "ops_set_updated_at() trigger",
  ]
  private static let ours = """
    pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'ops\\_%'
    """

  private static func state(_ ledger: TestLedger, _ sql: String) -> String? {
    do { try ledger.execute(sql) } catch { return (error as? PostgresError)?.sqlstate }
    return nil
  }

  @Test("names, argument names, defaults, types and result columns are the origin's")
  func signatures() throws {
    try TestLedger.with { ledger in
      let found =
        try ledger.lines(
          """
          SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ') '
            || pg_get_function_result(p.oid) AS signature FROM \(Self.ours)
          ORDER BY 1
          """)
      #expect(found == Self.signatures)
    }
  }

  @Test("none gives a right away: caller's rights, a fixed search_path, nothing for everybody")
  func rights() throws {
    try TestLedger.with { ledger in
      let settings =
        try ledger.lines(
          """
          SELECT DISTINCT p.prosecdef::text, p.provolatile::text, p.proowner::regrole::text,
            p.proconfig[1] FROM \(Self.ours)
          """)
      #expect(settings == ["false|v|opsledger_owner|search_path=pg_catalog, pg_temp"])
      #expect(
        try ledger.lines(
          """
          SELECT DISTINCT coalesce(a.grantee::regrole::text, 'everybody') FROM pg_proc AS p
          CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
          WHERE p.proname LIKE 'ops\\_%' AND p.pronamespace = 'public'::regnamespace
            AND a.grantee::regrole::text <> 'service_role'
          ORDER BY 1
          """)
          == ["opsledger_engine", "opsledger_operator", "opsledger_owner", "opsledger_tables"])
      // What they are made of is nobody's either, and runs as its caller. What capture's triggers ask is
      // asked as whoever writes.
      #expect(
        try ledger.lines(
          """
          SELECT DISTINCT p.proname::text FROM pg_proc AS p CROSS JOIN LATERAL
            aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
          WHERE p.pronamespace = 'ledger'::regnamespace AND a.grantee = 0 ORDER BY 1
          """) == ["capture_checks_reports", "capture_is_on", "capture_numbers"])
    }
  }

  @Test("who may not write the tables cannot by a function; who may not call it, not at all")
  func noRightGained() throws {
    try TestLedger.with { ledger in
      let stranger = "stranger_" + ledger.database
      let calls = [
        "SELECT ops_claim_next_step(5)", "SELECT ops_recover_stale_steps(0)",
        """
        SELECT ops_create_proposal_and_maybe_autoapprove(NULL, 'api',
          '{"steps": [{"kind": "noop"}]}')
        """,
        "SELECT ops_cast_vote(id, 'sage', 'approve') FROM ops_mission_proposals",
      ]
      _ = try ledger.engine().submit(
        .noops(.fine, risk: "high"), source: .api, dedupeKey: nil)
      try ledger.execute("CREATE ROLE \(stranger); GRANT USAGE ON SCHEMA ledger TO \(stranger)")
      defer { try? ledger.execute("DROP OWNED BY \(stranger); DROP ROLE \(stranger)") }
      for call in calls {
        try ledger.execute("GRANT SELECT ON ops_mission_proposals TO \(stranger)")
        #expect(Self.state(ledger, "SET ROLE \(stranger); \(call)") == "42501")
        #expect(Self.state(ledger, "SET ROLE opsledger_auditor; \(call)") == "42501")
      }
      // Whoever may call them, and read everything, still changes nothing.
      try ledger.execute(
        """
        GRANT opsledger_auditor TO \(stranger);
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO \(stranger)
        """)
      try ledger.execute(
        """
        DO $$ DECLARE f regprocedure; BEGIN
          FOR f IN SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace = 'ledger'::regnamespace
          LOOP EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO \(stranger)', f); END LOOP;
        END $$
        """)
      for call in calls {
        #expect(Self.state(ledger, "SET ROLE \(stranger); \(call)") == "42501")
      }
      #expect(try ledger.count("ops_mission_proposals") == 1)
      #expect(try ledger.count("ops_mission_proposals WHERE votes <> '{}'") == 0)
      try ledger.execute("SET ROLE opsledger_operator; \(calls.joined(separator: ";"))")
      #expect(try ledger.count("ops_mission_proposals") == 2)
    }
  }

  @Test("a temporary table in a policy's place is not asked")
  func searchPath() throws {
    try TestLedger.with { ledger in
      try ledger.engine().set("auto_approve", #"{"enabled": false}"#)
      try ledger.execute(
        """
        SET ROLE opsledger_operator;
        CREATE TEMP TABLE ops_policy (key text, value jsonb, version integer);
        INSERT INTO ops_policy VALUES ('auto_approve', '{"enabled": true}', 1),
          ('proposal_caps', '{}', 1);
        CREATE TEMP TABLE ops_mission_steps (LIKE public.ops_mission_steps);
        SET search_path = pg_temp, public;
        DO $$ BEGIN
          IF ops_is_auto_approvable('{"risk_level": "low", "steps": [{"kind": "noop"}]}') THEN
            RAISE 'forged'; END IF;
          IF (SELECT r_status FROM ops_create_proposal_and_maybe_autoapprove(NULL, 'api',
              '{"risk_level": "low", "steps": [{"kind": "noop"}]}')) <> 'pending' THEN
            RAISE 'forged'; END IF;
          IF EXISTS (SELECT FROM pg_temp.ops_mission_steps) THEN RAISE 'taken'; END IF;
        END $$
        """)
      #expect(try ledger.count("ops_mission_proposals WHERE status = 'pending'") == 1)
    }
  }
}
