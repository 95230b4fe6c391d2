import Glibc
import Ledger
import Log
import Postgres
import Replay
import TestLedgers
import Testing

@Suite("What capture refuses", .needsServer)
struct CaptureRefusalTests {
  private static let id = "01900000-0000-7000-8000-00000000000a"
  private static let item =
    "INSERT INTO ops_demand_radar (id, title, stage) VALUES ('\(id)', 'a', 'watching')"

  private static let refused: [(sql: String, sqlstate: String)] = [
    ("UPDATE ops_policy SET key = 'c' WHERE key = 'loop'", "55000"),
    ("UPDATE ops_demand_radar SET id = gen_random_uuid()", "55000"),
    ("UPDATE ops_policy SET version = version - 1", "55000"),
    ("UPDATE ops_policy SET version = version + 2", "55000"),
    ("INSERT INTO ops_missions (id, status) VALUES ('\(id)', 'failed')", "23505"),
    // An id keeps its row type, also when its row is gone; a policy's stream is no other row's.
    (
      """
      DELETE FROM ops_demand_radar WHERE id = '\(id)';
      INSERT INTO ops_missions (id, status) VALUES ('\(id)', 'failed')
      """, "23505"
    ),
    (
      """
      INSERT INTO ops_demand_radar (id, title, stage)
      VALUES (ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:loop'), 'p', 'watching')
      """, "23505"
    ),
    ("BEGIN ISOLATION LEVEL REPEATABLE READ; TRUNCATE ops_policy", "25001"),
    ("UPDATE ops_demand_radar SET created_at = '10000-01-01'", "22008"),
    ("UPDATE ops_demand_radar SET created_at = '0044-03-15 BC'", "22008"),
    (
      "INSERT INTO ops_policy (key, value) VALUES ('deep', (repeat('[', 250) || repeat(']', 250))::jsonb)",
      "22000"
    ),
    // A few bytes that stand for 131,072 digits each.
    (
      "INSERT INTO ops_policy (key, value) SELECT 'long', jsonb_agg(1e131071) FROM generate_series(1, 9)",
      "54000"
    ),
    // é in one character and in two.
    (
      #"UPDATE ops_policy SET value = E'{"a": [{"\u00e9": 1, "e\u0301": 2}]}' WHERE key = 'loop'"#,
      "22000"
    ),
    (
      "INSERT INTO ops_demand_radar (title, stage) VALUES ('a', 'watching'); SELECT ledger.allocate_entry()",
      "55000"
    ),
    (
      """
      UPDATE ops_demand_radar SET notes = 'a'; SET CONSTRAINTS ALL IMMEDIATE;
      UPDATE ops_demand_radar SET notes = 'b', version = version
      """, "55000"
    ),
    (
      """
      WITH d AS (DELETE FROM ops_demand_radar RETURNING id)
      INSERT INTO ops_demand_radar (id, title, stage) SELECT id, 'b', 'watching' FROM d
      """, "40001"
    ),
    ("SET ROLE opsledger_repair; UPDATE ops_demand_radar SET notes = 'unseen'", "42501"),
    // Capture lifted, and left so, whatever the order.
    ("SET ROLE opsledger_repair; SELECT ledger_guard.lift_capture()", "42501"),
    (
      """
      BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SET ROLE opsledger_repair;
      SELECT ledger_guard.lift_capture()
      """, "42501"
    ),
    (
      """
      BEGIN; SET ROLE opsledger_repair; SELECT ledger_guard.lift_capture(), ledger_guard.restore_capture();
      SELECT ledger_guard.lift_capture(); COMMIT
      """, "42501"
    ),
    ("SET ROLE opsledger_engine; SELECT ledger_guard.lift_capture()", "42501"),
    ("SET ROLE opsledger_tables; SELECT ledger_guard.restore_capture()", "42501"),
  ]

  @Test("what cannot be recorded, or would be recorded wrongly, is refused")
  func refused() throws {
    try TestLedger.with { ledger in
      try ledger.execute(Self.item)
      for (sql, sqlstate) in Self.refused {
        #expect(try failure(ledger, sql) == sqlstate, "\(sql)")
      }
      try expectEqual(ledger)
    }
  }

  @Test("a fill lifts capture for its own transaction, and ends with it in force")
  func lifted() throws {
    try TestLedger.with { ledger in
      try ledger.execute(Self.item)
      try ledger.executeOffTheRecord("DELETE FROM ops_demand_radar; DELETE FROM ops_policy")
      let report = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
      #expect(report.written["ops_demand_radar"]?.inserted == 1)
      #expect(try ledger.count("ledger_guard.table_faults()") == 0)
      #expect(try ledger.count("ledger.ddl_permits") == 0)
      try ledger.execute("UPDATE ops_demand_radar SET notes = 'a'")
      #expect(try ledger.count("ledger.events WHERE type = 'radar.amended'") == 1)
      try expectEqual(ledger)
    }
  }

  @Test("a forged setting leaves every change on the record")
  func forgedSettings() throws {
    try TestLedger.with { ledger in
      try ledger.execute(Self.item)
      try ledger.execute(
        """
        BEGIN; UPDATE ops_demand_radar SET notes = 'a'; SET CONSTRAINTS ALL IMMEDIATE;
        SET LOCAL opsledger.manual_change = ''; SET LOCAL opsledger.entry = '';
        UPDATE ops_demand_radar SET notes = 'b'; COMMIT;
        BEGIN; SET LOCAL opsledger.entry = '2'; UPDATE ops_demand_radar SET notes = 'c';
        SET LOCAL opsledger.manual_change = ''; UPDATE ops_demand_radar SET notes = 'd'; COMMIT;
        """)
      #expect(try ledger.count("ledger.events WHERE type = 'radar.amended'") == 4)
      try expectEqual(ledger)
    }
  }

  @Test("names that the caller's search_path puts first are not capture's")
  func hijackedNames() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;
        CREATE FUNCTION evil.met() RETURNS boolean LANGUAGE plpgsql AS $$
          BEGIN RAISE 'met as %', current_user; END $$;
        -- Cheap, so that it is asked before what is ours.
        DO $$ DECLARE type text; BEGIN
          FOREACH type IN ARRAY '{bigint,uuid,integer,text,xid}'::text[] LOOP
            EXECUTE format('CREATE FUNCTION evil.met(%1$s, %1$s) RETURNS boolean LANGUAGE plpgsql
              COST 0.0001 AS %2$L', type, 'BEGIN RETURN evil.met(); END');
          END LOOP;
        END $$;
        CREATE OPERATOR evil.= (FUNCTION = evil.met, LEFTARG = bigint, RIGHTARG = bigint);
        CREATE OPERATOR evil.<= (FUNCTION = evil.met, LEFTARG = bigint, RIGHTARG = bigint);
        CREATE OPERATOR evil.>= (FUNCTION = evil.met, LEFTARG = bigint, RIGHTARG = bigint);
        CREATE OPERATOR evil.= (FUNCTION = evil.met, LEFTARG = uuid, RIGHTARG = uuid);
        CREATE OPERATOR evil.= (FUNCTION = evil.met, LEFTARG = integer, RIGHTARG = integer);
        CREATE OPERATOR evil.<> (FUNCTION = evil.met, LEFTARG = text, RIGHTARG = text);
        CREATE OPERATOR evil.|| (FUNCTION = evil.met, LEFTARG = text, RIGHTARG = text);
        CREATE OPERATOR evil.= (FUNCTION = evil.met, LEFTARG = xid, RIGHTARG = xid);
        CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.met());
        CREATE FUNCTION evil.set_config(pg_catalog.text, pg_catalog.text, boolean)
          RETURNS pg_catalog.text LANGUAGE sql AS 'SELECT evil.met()::pg_catalog.text';
        SET search_path = evil, pg_catalog, public;
        SET opsledger.entry = '2';
        """ + Self.item
          + """
          ; UPDATE ops_demand_radar SET notes = 'a';
          UPDATE ops_policy SET value = '{"a": 1}' WHERE value <> '{}';
          DO $$ BEGIN
            IF current_setting('search_path') OPERATOR(pg_catalog.<>) 'evil, pg_catalog, public' THEN
              RAISE 'the path is %', current_setting('search_path');
            END IF;
          END $$
          """)
      #expect(try ledger.count("ledger.events WHERE type LIKE 'radar.%'") == 2)
      #expect(try ledger.count("ledger.events WHERE type = 'policy.amended'") > 0)
      try expectEqual(ledger)
    }
  }

  @Test("a row that was put back behind its history is refused, until it is rebuilt")
  func behind() throws {
    try TestLedger.with { ledger in
      try ledger.execute(Self.item + "; UPDATE ops_demand_radar SET notes = 'a'")
      try ledger.executeOffTheRecord("UPDATE ops_demand_radar SET version = 1, notes = NULL")
      for sql in ["UPDATE ops_demand_radar SET notes = 'b'", "DELETE FROM ops_demand_radar"] {
        #expect(try failure(ledger, sql) == "55000")
      }
      try ledger.executeOffTheRecord("DELETE FROM ops_demand_radar")
      #expect(try failure(ledger, Self.item) == "55000")
      _ = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
      try ledger.execute("UPDATE ops_demand_radar SET notes = 'b'")
      try expectEqual(ledger)
    }
  }

  @Test(
    "of a DELETE and an INSERT of one key at once the INSERT tries again, and goes on from there",
    arguments: ["READ COMMITTED", "REPEATABLE READ"])
  func deleteAndInsert(isolation: String) throws {
    try TestLedger.with { ledger in
      try ledger.execute("INSERT INTO ops_policy (key) VALUES ('r')")
      let came = try atOnce(2) { index in
        let connection = try Connection(url: ledger.adminURL)
        defer { connection.close() }
        if index == 0 {
          try connection.execute("BEGIN; DELETE FROM ops_policy WHERE key = 'r'")
          try ledger.wait(for: "wait_event_type = 'Lock' AND query LIKE 'INSERT%'")
          try connection.execute("COMMIT")
          return ""
        }
        try connection.execute(
          "BEGIN ISOLATION LEVEL \(isolation); SELECT count(*) FROM ops_policy")
        try ledger.wait(for: "state = 'idle in transaction' AND query LIKE '%DELETE%'")
        do {
          try connection.execute("INSERT INTO ops_policy (key) VALUES ('r')")
          return "none"
        } catch let error as PostgresError { return error.sqlstate }
      }
      #expect(came[1] == "40001")
      try ledger.execute("INSERT INTO ops_policy (key) VALUES ('r')")
      #expect(try ledger.value("SELECT version FROM ops_policy WHERE key = 'r'") == "3")
      try expectEqual(ledger)
    }
  }

  private func failure(_ ledger: TestLedger, _ sql: String) throws -> String? {
    do {
      try ledger.execute(sql.hasPrefix("BEGIN") ? sql : "BEGIN; \(sql); COMMIT")
      return nil
    } catch let error as PostgresError { return error.sqlstate }
  }

  private func expectEqual(_ ledger: TestLedger) throws {
    let report = try ledger.verify()
    #expect(report.isEqual, "\(report.differences.prefix(5)) \(report.logProblems)")
  }
}
