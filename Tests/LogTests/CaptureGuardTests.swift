import Log
import Postgres
import Replay
import TestLedgers
import Testing

@Suite("What guards the eight tables", .needsServer)
struct CaptureGuardTests {
  /// Each in a transaction of the tables' owner, which is rolled back.
  private static let refused = [
    "ALTER TABLE ops_policy DISABLE TRIGGER ALL", "ALTER TABLE ops_policy DISABLE TRIGGER USER",
    "ALTER TABLE ops_policy ENABLE TRIGGER ALL",
    "ALTER TABLE ops_policy ENABLE TRIGGER capture_update",
    "ALTER TABLE ops_policy ENABLE REPLICA TRIGGER capture_delete",
    "DROP TRIGGER capture_update_row ON ops_policy",
    "ALTER TRIGGER capture_update ON ops_policy RENAME TO x",
    """
    CREATE OR REPLACE TRIGGER capture_update_row BEFORE UPDATE ON ops_policy FOR EACH ROW
      EXECUTE FUNCTION suppress_redundant_updates_trigger()
    """,
    """
    CREATE TRIGGER z BEFORE UPDATE ON ops_policy FOR EACH ROW
      EXECUTE FUNCTION suppress_redundant_updates_trigger()
    """,
    "CREATE TABLE child () INHERITS (ops_policy)",
    "CREATE TABLE child (LIKE ops_policy); ALTER TABLE child INHERIT ops_policy",
    "CREATE TABLE parent (key text); ALTER TABLE ops_policy INHERIT parent",
    "CREATE RULE r AS ON UPDATE TO ops_policy DO INSTEAD NOTHING",
    "ALTER TABLE ops_missions DROP COLUMN policy_snapshot",
    "ALTER TABLE ops_policy RENAME COLUMN value TO v", "ALTER TABLE ops_policy RENAME TO v",
    "CREATE SCHEMA s; ALTER TABLE ops_policy SET SCHEMA s",
    "ALTER TABLE ops_missions ALTER COLUMN policy_snapshot TYPE text",
    "ALTER TABLE ops_missions ALTER COLUMN policy_snapshot TYPE jsonb USING '{}'",
    """
    SAVEPOINT s; ALTER TABLE ops_missions ALTER COLUMN policy_snapshot TYPE jsonb USING '{}';
    RELEASE s
    """,
    "ALTER TABLE ops_demand_radar SET UNLOGGED", "DROP TABLE ops_demand_radar CASCADE",
    "DROP TYPE ops_step_status CASCADE",
    "ALTER TYPE ops_step_status RENAME VALUE 'queued' TO 'waiting'",
    "ALTER TYPE ops_step_status ADD VALUE 'waiting'",
    "ALTER TABLE ops_demand_radar DROP CONSTRAINT ops_demand_radar_stage_check",
    "ALTER TABLE ops_demand_radar DROP CONSTRAINT ops_demand_radar_pkey",
    "ALTER TABLE ops_demand_radar RENAME CONSTRAINT ops_demand_radar_pkey TO x",
    "ALTER TABLE ops_demand_radar ALTER title DROP NOT NULL",
    "CREATE SCHEMA s CREATE TABLE c () INHERITS (public.ops_policy)",
    "CREATE SCHEMA s CREATE VIEW v AS SELECT 1 CREATE TABLE c () INHERITS (public.ops_missions)",
    "CREATE TEMP TABLE c () INHERITS (ops_missions)", "DROP OWNED BY opsledger_tables CASCADE",
  ]

  @Test("DDL that would let a change pass capture is refused, to the tables' owner too")
  func refused() throws {
    try TestLedger.with { ledger in
      try ledger.execute("GRANT CREATE ON DATABASE \(ledger.database) TO opsledger_tables")
      for sql in Self.refused {
        do {
          try ledger.execute("SET SESSION AUTHORIZATION opsledger_tables; BEGIN; \(sql); COMMIT")
          Issue.record("not refused: \(sql)")
        } catch let error as PostgresError {
          #expect(error.sqlstate == "42501", "\(sql): \(error)")
        }
      }
      #expect(try ledger.count("ledger_guard.table_faults()") == 0)
    }
  }

  @Test("row-level policies hide nothing from capture")
  func rowLevelPolicies() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        INSERT INTO ops_demand_radar (title, stage) VALUES ('a', 'watching'), ('b', 'watching');
        ALTER TABLE ops_demand_radar ENABLE ROW LEVEL SECURITY;
        CREATE POLICY a_few ON ops_demand_radar TO opsledger_operator USING (title <> 'b');
        CREATE POLICY more ON ops_demand_radar FOR INSERT TO opsledger_operator WITH CHECK (true);
        SET ROLE opsledger_operator;
        UPDATE ops_demand_radar SET notes = 'seen';
        INSERT INTO ops_demand_radar (title, stage) VALUES ('c', 'watching');
        DELETE FROM ops_demand_radar; SET ROLE opsledger_tables; TRUNCATE ops_demand_radar
        """)
      #expect(
        try ledger.lines(
          "SELECT type, count(*) FROM ledger.events WHERE type LIKE 'radar.%' GROUP BY 1 ORDER BY 1"
        )
          == ["radar.amended|1", "radar.inserted|3", "radar.removed|3"])
      let report = try ledger.verify()
      #expect(report.isEqual, "\(report.differences.prefix(5))")
    }
  }

  @Test("what operators add to the tables stays theirs, and the ledger goes on")
  func additions() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        GRANT USAGE ON SCHEMA public TO opsledger_tables;
        SET SESSION AUTHORIZATION opsledger_tables;
        ALTER TABLE ops_policy ADD COLUMN mine integer NOT NULL DEFAULT 3,
          ADD COLUMN chance float DEFAULT random();
        ALTER TABLE ops_policy ALTER COLUMN mine TYPE text USING mine::text;
        CREATE INDEX ON ops_policy (mine);
        ALTER TABLE ops_policy ENABLE ROW LEVEL SECURITY;
        CREATE POLICY nobody ON ops_policy USING (false);
        CREATE TABLE seen (key text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
          $$BEGIN INSERT INTO seen VALUES (NEW.key); RETURN NULL; END$$;
        CREATE TRIGGER note AFTER UPDATE ON ops_policy FOR EACH ROW EXECUTE FUNCTION note();
        UPDATE ops_policy SET value = '{"state": "running", "why": "x"}' WHERE key = 'loop';
        ALTER TABLE ops_policy DROP COLUMN chance
        """)
      #expect(try ledger.count("seen") == 1)
      #expect(try ledger.count("ledger.events WHERE type = 'policy.amended'") == 1)
      let report = try ledger.verify()
      #expect(report.isEqual, "\(report.differences.prefix(5))")
    }
  }

  @Test("a report passes capture with its event, and what a trigger writes within it does not")
  func withinReport() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        CREATE FUNCTION public.echo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF NEW.type <> 'echo' THEN INSERT INTO public.ops_agent_events (type, data) VALUES ('echo', '{}'); END IF;
          RETURN NULL;
        END $$;
        CREATE TRIGGER echo AFTER INSERT ON ops_agent_events FOR EACH ROW EXECUTE FUNCTION public.echo()
        """)
      let session = try ledger.session()
      let committed = try session.appendFresh(
        .new(), freshDraft(.sample("a", data: #"{"n": 1.50}"#, thought: "hm")))
      #expect(try ledger.count("ledger.events WHERE type = 'agent_event.reported'") == 1)
      #expect(try ledger.count("ledger.events WHERE type = 'agent_event.inserted'") == 1)
      #expect(
        try ledger.count(
          "ops_agent_events AS a JOIN ledger.events AS e ON e.stream = a.id WHERE a.type = 'a' "
            + "AND e.recorded_at = a.created_at AND e.entry = \(committed.entry ?? 0)") == 1)
      let report = try ledger.verify()
      #expect(report.isEqual, "\(report.differences.prefix(5))")
    }
  }

  @Test("of a statement whose first row is on the record, a row that is not is recorded too")
  func firstRowTells() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      _ = try session.perform(.new(), .report(.sample("a", data: "{}")))
      try ledger.execute(
        """
        DO $$
        DECLARE
          d record;
          asked CONSTANT uuid := gen_random_uuid();
          made CONSTANT uuid := gen_random_uuid();
        BEGIN
          SELECT * INTO d FROM ledger.allocate_entry();
          INSERT INTO ledger.events (entry, index, stream, version, type, recorded_at, actor, command,
              data, content, salt)
            SELECT d.entry, 0, made, 1, e.type, d.recorded_at, 'test', asked, e.data, e.content, e.salt
            FROM ledger.events AS e WHERE e.type = 'agent_event.reported';
          INSERT INTO ops_agent_events (id, type, data, created_at, version)
            SELECT made, a.type, a.data, d.recorded_at, 1 FROM ops_agent_events AS a
            UNION ALL SELECT gen_random_uuid(), 'by hand', '{}', now(), 0;
        END $$
        """)
      #expect(try ledger.count("ops_agent_events") == 3)
      #expect(try ledger.count("ledger.events WHERE type = 'agent_event.inserted'") == 1)
      let report = try ledger.verify()
      #expect(report.isEqual, "\(report.differences.prefix(5))")
    }
  }

  @Test("nobody but the engine appends a report, and nobody is the writer")
  func writer() throws {
    try TestLedger.with { ledger in
      let append = """
        SELECT ledger.append_agent_event(gen_random_uuid(), 'a', gen_random_uuid(), 1, NULL, '{}',
          NULL, NULL, NULL, 'a', '{}', NULL, NULL, now(), NULL)
        """
      for role in ["operator", "tables", "repair", "auditor"].map({ "opsledger_\($0)" }) {
        for sql in [append, "SET ROLE opsledger_writer"] {
          do {
            try ledger.execute("SET SESSION AUTHORIZATION \(role); \(sql)")
            Issue.record("not refused to \(role): \(sql)")
          } catch let error as PostgresError {
            #expect(error.sqlstate == "42501", "\(role), \(sql): \(error)")
          }
          try ledger.execute("RESET SESSION AUTHORIZATION")
        }
      }
    }
  }
}
