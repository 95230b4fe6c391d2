import Ledger
import Log
import Postgres
import Replay
import TestLedgers
import TestSupport
import Testing

@Suite("What the schema laid, and what is there", .needsServer)
struct DefinitionTests {
  /// What doctor has to say, and what breaks it, as a superuser with the guards off.
  private static let broken = [
    (
      "function ledger.now(): another body",
      "CREATE OR REPLACE FUNCTION ledger.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''-infinity''::timestamptz'"
    ),
    (
      "trigger capture_move on ledger.pending: missing",
      "DROP TRIGGER capture_move ON ledger.pending"
    ),
    (
      "constraint ops_missions_proposal_id_fkey on public.ops_missions: triggers that keep it",
      "ALTER TABLE ops_missions DISABLE TRIGGER ALL"
    ),
    (
      "view public.ops_radar: another query",
      "CREATE OR REPLACE VIEW ops_radar AS SELECT * FROM ops_demand_radar LIMIT 0"
    ),
    (
      "table ledger.events: opsledger_operator may UPDATE",
      "GRANT UPDATE ON ledger.events TO opsledger_operator"
    ),
    (
      "function ledger.allocate_entry(integer): opsledger's schema has no such object",
      "CREATE FUNCTION ledger.allocate_entry(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    ),
  ]

  @Test("what is not as it was laid is named, and laid again")
  func appliedAgain() throws {
    // Not a copy of the tests' ledger, whose clock is another.
    try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      #expect(try definitions(ledger).verdict == .pass)
      for (said, sql) in Self.broken {
        try ledger.execute("\(Self.quietly); \(sql); \(Self.loudly)")
        let finding = try definitions(ledger)
        #expect(
          finding.verdict == .fail && finding.saw.contains { $0.hasPrefix(said) }, "\(finding.saw)")
        let report = try install(ledger)
        #expect(report.repaired.contains { $0.hasPrefix(said) }, "\(report.repaired)")
        #expect(report.unrepaired == [])
        #expect(try definitions(ledger).verdict == .pass)
      }
    }
  }

  @Test("a laying blesses nothing that somebody else changed, and says what it could not put back")
  func notBlessed() throws {
    try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      try ledger.execute(
        """
        \(Self.quietly); ALTER TYPE ops_step_status ADD VALUE 'odd'; \(Self.loudly);
        UPDATE ledger.migrations SET sha256 = sha256(name::bytea) WHERE name LIKE 'functions/%'
        """)
      let report = try install(ledger)
      #expect(report.unrepaired.contains { $0.hasPrefix("type public.ops_step_status: labels") })
      #expect(try definitions(ledger).verdict == .fail)
    }
  }

  /// All tables, sequences and types that the schema lays, but what holds the log or says where home is; and the
  /// columns of the eight tables, but their keys.
  private static let droppable = """
    SELECT string_agg('DROP ' || d.object || ' CASCADE', '; ') FROM ledger_guard.definitions AS d
    WHERE d.fact = 'kind' AND d.value = 'r' AND d.object NOT LIKE '%.events\\_p*'
      OR d.fact = 'START' AND d.object NOT IN ('sequence ledger.instance_mark', 'sequence ledger.pending_seq_seq')
      OR d.fact = 'labels'
    GROUP BY d.fact, split_part(d.object, '.', 1)
    UNION ALL
    SELECT string_agg(format('ALTER %s DROP COLUMN %s CASCADE', d.object, c.name), '; ')
    FROM ledger_guard.definitions AS d CROSS JOIN string_to_table(d.value, ', ') AS c (name)
    WHERE d.fact = 'columns as laid' AND c.name NOT IN ('id', 'key')
    UNION ALL
    SELECT 'DELETE FROM ledger.migrations'
    UNION ALL
    SELECT 'DROP SCHEMA ledger_guard CASCADE'
    UNION ALL
    SELECT 'ALTER TABLE ledger.events DETACH PARTITION ledger.events_p000000000000'
    """

  @Test("what was dropped is made again, and filled from the log")
  func madeAgain() throws {
    try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      let rows = try ledger.adminSession().query(Statement(Self.droppable))
      let lost = try (0..<rows.count).map { try rows.text($0, 0) }
      #expect(lost.count == 9, "\(lost)")
      for sql in lost {
        try ledger.execute("\(Self.quietly); \(sql); \(Self.loudly)")
        _ = try install(ledger)
        _ = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
        // Columns that may not be empty are full now.
        #expect(try install(ledger).unrepaired == [], "\(sql)")
        #expect(try definitions(ledger).verdict == .pass, "\(sql)")
        #expect(try ledger.verify().isEqual, "\(sql)")
      }
    }
  }

  @Test(
    "where the log's beginning is gone, nothing begins anew; where its table is, nothing is laid around it"
  )
  func logGone() throws {
    try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      try ledger.execute(
        "\(Self.quietly); DROP TABLE ledger.events_p000000000000; \(Self.loudly)")
      expectRefusal(.storeDiverged) { try install(ledger) }
      let error = #expect(throws: OpsError.self) { try ledger.session().requireLedger() }
      #expect(error?.code == .storeDiverged && error?.hint?.contains("restore") == true)
      try ledger.execute("\(Self.quietly); DROP TABLE ledger.events CASCADE; \(Self.loudly)")
      let gone = #expect(throws: OpsError.self) { try install(ledger) }
      #expect(gone?.hint?.contains("empty database") == true)
    }
  }

  @Test("a laying takes nothing of others for its own, and nothing of theirs away")
  func strangers() throws {
    try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      try ledger.execute(
        """
        CREATE TABLE public.mine (ns uuid, k text, sid uuid GENERATED ALWAYS AS (ledger.uuid_v5(ns, k)) STORED);
        \(Self.quietly);
        CREATE TABLE ledger.hidden (x text);
        CREATE OR REPLACE FUNCTION ledger.uuid_v5(namespace uuid, name text DEFAULT 'x') RETURNS uuid
        LANGUAGE sql IMMUTABLE AS 'SELECT gen_random_uuid()';
        \(Self.loudly)
        """)
      let unrepaired = try install(ledger).unrepaired
      #expect(
        unrepaired.contains { $0.hasPrefix("table ledger.hidden: opsledger's schema has no ") })
      #expect(
        try ledger.count("ledger_guard.definitions WHERE object LIKE '%ledger.hidden%'") == 0)
      #expect(
        try ledger.count("pg_attribute WHERE attrelid = 'mine'::regclass AND attname = 'sid'") == 1)
      let finding = try definitions(ledger)
      #expect(!finding.saw.contains { $0.contains("ledger.uuid_v5") }, "\(finding.saw)")
    }
  }

  @Test("flags of the catalogue that switch triggers, keys and checks off are named, and set again")
  func flags() throws {
    try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      for sql in [
        "UPDATE pg_class SET relhastriggers = false WHERE oid = 'ops_demand_radar'::regclass",
        "UPDATE pg_class SET relchecks = 0 WHERE oid = 'ledger.checkpoints'::regclass",
        "UPDATE pg_index SET indisunique = false WHERE indexrelid = 'ledger.idempotency_keys_pkey'::regclass",
      ] {
        try ledger.execute(sql)
        #expect(try definitions(ledger).verdict == .fail, "\(sql)")
        #expect(try install(ledger).unrepaired == [], "\(sql)")
        #expect(try definitions(ledger).verdict == .pass, "\(sql)")
      }
    }
  }

  @Test("who owns the tables may lay no cast of their types")
  func casts() throws {
    try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      try ledger.execute("GRANT CREATE ON SCHEMA public TO opsledger_tables")
      let refusal = #expect(throws: OpsError.self) {
        try ledger.withLogin(in: "opsledger_tables") { target in
          _ = try Session(target).query(
            Statement("CREATE CAST (public.ops_step_status AS text) WITH INOUT AS ASSIGNMENT"))
        }
      }
      #expect(refusal?.code == .notAllowed)
    }
  }

  private static let quietly =
    "SET client_min_messages = error; DO $$ DECLARE e record; BEGIN FOR e IN SELECT evtname FROM pg_event_trigger "
    + "LOOP EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', e.evtname); END LOOP; END $$"
  private static let loudly =
    "DO $$ DECLARE e record; BEGIN FOR e IN SELECT evtname FROM pg_event_trigger "
    + "LOOP EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', e.evtname); END LOOP; END $$"

  private func install(_ ledger: TestLedger) throws -> Installer.Report {
    try Installer.run(ledger.adminSession(), name: "test", actor: "test")
  }

  private func definitions(_ ledger: TestLedger) throws -> Finding {
    try #require(try ledger.session().examine().first { $0.name == "definitions" })
  }
}
