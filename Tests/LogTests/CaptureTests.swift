import Ledger
import Log
import Postgres
import Replay
import TestLedgers
import TestSupport
import Testing

@Suite("Capture", .needsServer)
struct CaptureTests {
  static let find = "01900000-0000-7000-8000-000000000001"
  static let mission = "01900000-0000-7000-8000-000000000002"

  /// A mission with three steps, two runs and two agent events, manually.
  static let rows = """
    INSERT INTO ops_mission_proposals (id, source, status, template)
      VALUES ('\(find)', 'manual', 'approved', '{"steps": []}');
    INSERT INTO ops_missions (id, proposal_id, status) VALUES ('\(mission)', '\(find)', 'running');
    INSERT INTO ops_mission_steps (mission_id, kind, status, params)
      SELECT '\(mission)', 'noop', 'queued', '{"n": 1.0}' FROM generate_series(1, 3);
    INSERT INTO ops_action_runs (step_id, status, meta)
      SELECT id, 'started', '{"kind": "noop"}' FROM ops_mission_steps LIMIT 2;
    INSERT INTO ops_agent_events (type, data, mission_id)
      SELECT 'a:b', 'null', '\(mission)' FROM generate_series(1, 2);
    INSERT INTO ops_agent_reactions (event_id, payload)
      SELECT id, '{"pattern_id": "p", "x": 1}' FROM ops_agent_events
    """

  @Test(
    "whatever statement changes a row, it is on the record",
    arguments: [
      "UPDATE ops_mission_steps SET status = 'failed', last_error = 'é\u{1}\"', result = 'null'",
      "UPDATE ops_mission_steps SET params = '{\"n\": 1.00}'",
      "UPDATE ops_mission_steps SET needs = '{0,1}', ordinal = 4, not_before = 'infinity'",
      "UPDATE ops_mission_steps SET version = version + 1, leased_by = 'me'",
      "UPDATE ops_mission_steps SET version = version + 1",
      "UPDATE ops_missions SET policy_snapshot = 'null'",
      "UPDATE ops_missions SET policy_snapshot = '{\"json\": null}'",
      "DELETE FROM ops_missions",
      "DELETE FROM ops_mission_proposals",
      "DELETE FROM ops_agent_events",
      "TRUNCATE ops_missions CASCADE",
      "TRUNCATE ops_policy",
      """
      INSERT INTO ops_policy (key, value) VALUES ('loop', '{}')
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version
      """,
      """
      INSERT INTO ops_policy (key, value, version) VALUES ('mine', '1', 7), ('loop', '2', 1)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = ops_policy.version + 1
      """,
      """
      MERGE INTO ops_mission_steps AS s
        USING (SELECT id, row_number() OVER (ORDER BY id) AS n FROM ops_mission_steps
          UNION ALL SELECT gen_random_uuid(), 9) AS o ON o.id = s.id
        WHEN MATCHED AND o.n = 1 THEN DELETE
        WHEN MATCHED AND o.n = 2 THEN UPDATE SET kind = 'other'
        WHEN NOT MATCHED THEN INSERT (id, mission_id, kind, status)
          VALUES (o.id, '\(mission)', 'made', 'queued')
      """,
      """
      WITH gone AS (DELETE FROM ops_action_runs RETURNING *), more AS (
        UPDATE ops_mission_steps SET kind = 'x' WHERE id IN (SELECT step_id FROM gone) RETURNING id)
      INSERT INTO ops_demand_radar (title, stage) SELECT id::text, 'watching' FROM more
      """,
      """
      BEGIN; UPDATE ops_missions SET status = 'failed'; SAVEPOINT s; DELETE FROM ops_mission_steps;
      ROLLBACK TO s; UPDATE ops_mission_steps SET kind = 'kept'; COMMIT
      """,
      """
      BEGIN; SAVEPOINT s; UPDATE ops_missions SET status = 'failed'; ROLLBACK TO s;
      UPDATE ops_mission_steps SET kind = 'kept'; UPDATE ops_mission_steps SET kind = 'twice'; COMMIT
      """,
      """
      BEGIN; SET CONSTRAINTS ALL IMMEDIATE; UPDATE ops_mission_steps SET kind = 'first';
      UPDATE ops_mission_steps SET kind = 'second'; SET CONSTRAINTS ALL IMMEDIATE; COMMIT
      """,
      "DELETE FROM ops_policy WHERE key = 'loop'; INSERT INTO ops_policy (key) VALUES ('loop')",
      """
      INSERT INTO ops_radar (title, stage, created_at) VALUES ('a', 'shipped', '-infinity');
      UPDATE ops_radar SET notes = 'b', updated_at = '0001-01-01'; DELETE FROM ops_radar
      """,
      """
      SET TimeZone = 'Asia/Kathmandu'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'iso_8601';
      SET extra_float_digits = -5; SET bytea_output = 'escape'; SET search_path = '';
      SET session_replication_role = replica; SET enable_hashjoin = off;
      UPDATE public.ops_mission_steps SET reserved_at = now(), result = '1.10';
      INSERT INTO public.ops_agent_events (type, data) VALUES ('x', '{"json": 1}')
      """,
    ])
  func onTheRecord(sql: String) throws {
    try TestLedger.with { ledger in
      try ledger.execute(Self.rows)
      try expectEqual(ledger)
      let before = try ledger.count("ledger.events")
      try ledger.execute(sql)
      #expect(try ledger.count("ledger.events") > before)
      try expectEqual(ledger)
      // And what the log says makes the same rows.
      try ledger.executeOffTheRecord("DELETE FROM ops_agent_events; DELETE FROM ops_missions")
      _ = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
      try expectEqual(ledger)
    }
  }

  @Test("COPY is on the record, whatever versions it names")
  func copy() throws {
    try TestLedger.with { ledger in
      let connection = try Connection(url: ledger.adminURL)
      defer { connection.close() }
      let writer = try connection.copyIn(
        "COPY ops_demand_radar (id, title, stage, version) FROM STDIN (FORMAT binary)")
      for number in 0..<100 {
        try writer.row(4)
        writer.uuid(1, UInt64(number))
        writer.text("item \(number)")
        writer.text("watching")
        writer.int4(Int32(number % 3))
      }
      _ = try writer.finish()
      #expect(try ledger.count("ledger.events WHERE type = 'radar.inserted'") == 100)
      #expect(try ledger.count("ops_demand_radar WHERE version = 1") == 100)
      try expectEqual(ledger)
    }
  }

  @Test("a manual change's transaction is one entry, and says who, as whom and by which program")
  func oneEntry() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        SET application_name = 'a "program"'; SET ROLE opsledger_operator;
        BEGIN; \(Self.rows); DELETE FROM ops_missions; COMMIT
        """)
      let made = "ledger.events WHERE actor LIKE 'psql/%'"
      #expect(try ledger.value("SELECT count(DISTINCT entry) FROM \(made)") == "1")
      #expect(
        try ledger.lines(
          """
          SELECT DISTINCT actor, data->>'session_user' AS s, data->>'role' AS r,
            data->>'application' AS a, command FROM \(made)
          """) == ["psql/postgres|postgres|opsledger_operator|a \"program\"|"])
      // A row that only lost its reference is amended.
      #expect(try ledger.count("ledger.events WHERE type = 'run.amended'") == 2)
      #expect(try ledger.count("ledger.pending") == 0)
      try expectEqual(ledger)
    }
  }

  @Test("a statement that changes no ledger column records nothing")
  func unchanged() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        Self.rows + "; ALTER TABLE ops_mission_steps ADD COLUMN mine integer DEFAULT 1")
      let before = try ledger.count("ledger.events")
      try ledger.execute(
        """
        UPDATE ops_mission_steps SET mine = 2; UPDATE ops_mission_steps SET kind = kind;
        UPDATE ops_mission_steps SET kind = 'x' WHERE false; DELETE FROM ops_missions WHERE false;
        BEGIN; UPDATE ops_mission_steps SET mine = 3; SET CONSTRAINTS ALL IMMEDIATE;
        UPDATE ops_mission_steps SET mine = 4; COMMIT
        """)
      #expect(try ledger.count("ledger.events") == before)
      #expect(try ledger.count("ops_mission_steps WHERE mine = 4 AND version = 1") == 3)
      try expectEqual(ledger)
    }
  }

  /// After a change of schema/functions/capture/capture_tables.sql: run it with OPS_WRITE_CAPTURE=1, and review the diff.
  @Test("the functions that are made for the eight tables are those that were reviewed")
  func madeFunctions() throws {
    let path = "Tests/capture_functions.sql"
    try TestLedger.with { ledger in
      let made = try ledger.lines(
        """
        SELECT pg_get_functiondef(p.oid) AS definition
        FROM pg_proc AS p JOIN (SELECT DISTINCT relation FROM ledger.captured_columns()) AS c
          ON p.proname LIKE 'capture\\_%\\_' || c.relation
        WHERE p.pronamespace = 'ledger'::regnamespace ORDER BY p.proname
        """)
      let text = made.joined(separator: "\n")
      if Seeds.environment("OPS_WRITE_CAPTURE") != nil { try Repository.write(path, text) }
      #expect(made.count == 48)
      #expect(try Repository.read(path) == text)
    }
  }

  @Test("the columns that capture knows are those of the row types")
  func columns() throws {
    try TestLedger.with { ledger in
      let known = try ledger.lines(
        "SELECT relation, name, type, part FROM ledger.captured_columns() AS c")
      let expected =
        Self.columns(Policy.self) + Self.columns(Proposal.self) + Self.columns(Mission.self)
        + Self.columns(Step.self) + Self.columns(AgentEvent.self) + Self.columns(Reaction.self)
        + Self.columns(Run.self) + Self.columns(Radar.self)
      #expect(known == expected)
    }
  }

  private static func columns<R: Row>(_ rowType: R.Type) -> [String] {
    R.columns.map { column in
      let type =
        switch column.type {
        case .int: "integer"
        case .text: "text"
        case .uuid: "uuid"
        case .time: "timestamptz"
        case .json: "jsonb"
        case .ints: "integer[]"
        case .label(let name): name
        }
      return "\(R.table)|\(column.name)|\(type)|\(column.part)"
    }
  }

  private func expectEqual(_ ledger: TestLedger) throws {
    let report = try ledger.verify()
    #expect(report.isEqual, "\(report.differences.prefix(5)) \(report.logProblems)")
  }
}
