import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import Replay
import TestLedgers
import TestSupport
import Testing

/// What a query of a state may do, and what it leaves: nothing.
@Suite(.needsServer)
struct StateQueryTests {
  private func withHistory(_ body: (TestLedger, Int64) throws -> Void) throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.emit("job:flaky", .object(["job": .string("j")]))
      _ = try engine.heartbeat(drain: true)
      let entry = try ledger.session().seal()
      try engine.work()
      try engine.set("auto_approve", #"{"enabled": false}"#)
      try body(ledger, entry)
    }
  }

  @Test(
    "a query that would write, or is not one statement, is refused and changes nothing",
    arguments: [
      ("DELETE FROM ops_missions RETURNING id", "OPS_013"),
      ("UPDATE ops_policy SET value = '{}' RETURNING key", "OPS_013"),
      ("INSERT INTO ops_policy (key) VALUES ('x') RETURNING key", "OPS_013"),
      ("WITH gone AS (DELETE FROM ops_missions RETURNING id) SELECT * FROM gone", "OPS_013"),
      ("DELETE FROM public.ops_missions RETURNING id", "OPS_019"),
      ("UPDATE pg_temp.opsledger_moment SET entry = 1 RETURNING entry", "OPS_013"),
      ("DELETE FROM ops_missions", "OPS_019"), ("TRUNCATE ops_missions", "OPS_019"),
      ("DROP TABLE ops_missions", "OPS_019"), ("COMMIT", "OPS_019"), ("ROLLBACK", "OPS_019"),
      ("ROLLBACK TO SAVEPOINT opsledger_query", "OPS_019"),
      ("RELEASE SAVEPOINT opsledger_query", "OPS_019"),
      ("SET TRANSACTION READ WRITE", "OPS_019"), ("RESET ALL", "OPS_019"),
      ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "OPS_019"),
      ("SET ROLE opsledger_repair", "OPS_019"), ("DISCARD ALL", "OPS_019"),
      ("COPY ops_missions TO STDOUT", "OPS_019"), ("COPY ops_missions FROM STDIN", "OPS_019"),
      ("COPY (SELECT 1) TO PROGRAM 'true'", "OPS_019"), ("LOCK ops_missions", "OPS_019"),
      ("DO $$ BEGIN DELETE FROM public.ops_missions; END $$", "OPS_019"),
      ("CREATE TEMP TABLE x AS SELECT 1", "OPS_019"), ("SELECT 1 INTO x", "OPS_019"),
      ("SELECT 1; SELECT 2", "OPS_019"), ("SELECT 1; COMMIT; DELETE FROM ops_missions", "OPS_019"),
      ("SELECT 1) TO STDOUT; DELETE FROM ops_missions; --", "OPS_019"), ("", "OPS_019"),
      ("-- nothing", "OPS_019"), (";", "OPS_019"), ("SELECT $1::int", "OPS_019"),
      ("SELECT nonsense", "OPS_019"), ("SELECT 1/0", "OPS_019"), ("SELECT FROM nowhere", "OPS_019"),
      ("SELECT set_config('transaction_read_only', 'off', true)", "OPS_013"),
      ("SELECT set_config('transaction_read_only', 'off', false)", "OPS_013"),
      ("SELECT nextval('ledger.entry_sequence')", "OPS_013"),
      ("SELECT ledger.allocate_entry()", "OPS_013"),
      ("SELECT * FROM public.ops_missions", "OPS_019"), ("TABLE public.live_view", "OPS_019"),
      ("SELECT (SELECT count(*) FROM public.ops_policy) FROM ops_missions", "OPS_019"),
      ("SELECT public.write_live()", "OPS_013"), ("SELECT public.loosen()", "OPS_013"),
      ("SELECT ops_claim_next_step('noop', 'w')", "OPS_019"),
      ("EXPLAIN ANALYZE DELETE FROM ops_missions", "OPS_013"),
      ("SELECT id FROM ops_missions FOR UPDATE", "OPS_013"),
    ])
  func refused(sql: String, code: String) throws {
    try withHistory { ledger, entry in
      try ledger.execute(
        """
        CREATE VIEW live_view AS SELECT * FROM ops_missions;
        CREATE FUNCTION write_live() RETURNS int LANGUAGE plpgsql AS
          $$ BEGIN UPDATE public.ops_missions SET status = 'failed'; RETURN 1; END $$;
        CREATE FUNCTION loosen() RETURNS int LANGUAGE plpgsql AS
          $$ BEGIN SET LOCAL transaction_read_only = off;
             DELETE FROM public.ops_missions; RETURN 1; END $$;
        GRANT SELECT ON live_view TO opsledger_engine
        """)
      let (before, events) = (try States.live(ledger), try ledger.count("ledger.events"))
      var rows = 0
      let error = #expect(throws: OpsError.self, "\(sql)") {
        try TimeTravel.query(
          sql, ledger.target, at: entry, head: { _ in }, each: { _ in rows += 1 })
      }
      #expect(error?.code.rawValue == code, "\(sql): \(error?.message ?? "")")
      #expect(rows == 0)
      #expect(try States.live(ledger) == before)
      #expect(try ledger.count("ledger.events") == events)
      try expectNothingLeft(ledger)
    }
  }

  @Test(
    "even a superuser's query writes nothing",
    arguments: [
      "DELETE FROM ops_missions RETURNING id", "SELECT public.write_live()",
      "SELECT set_config('role', 'opsledger_repair', false)",
    ])
  func superuser(sql: String) throws {
    try withHistory { ledger, entry in
      try ledger.execute(
        """
        CREATE FUNCTION write_live() RETURNS int LANGUAGE plpgsql AS
          $$ BEGIN UPDATE public.ops_missions SET status = 'failed'; RETURN 1; END $$
        """)
      let before = try States.live(ledger)
      _ = try? TimeTravel.query(
        sql, Session.Target(url: ledger.adminURL), at: entry, head: { _ in }, each: { _ in })
      #expect(try States.live(ledger) == before)
      #expect(try ledger.verify().isEqual)
      try expectNothingLeft(ledger)
    }
  }

  private func expectNothingLeft(_ ledger: TestLedger) throws {
    // A backend removes what is temporary while it ends, just after its client has gone.
    try ledger.waitUntilNone("pg_class WHERE relpersistence = 't' AND relname ~ '^ops'")
    #expect(
      try ledger.count(
        "pg_class WHERE relname ~ '^(ops_|opsledger_)' AND relnamespace NOT IN "
          + "('public'::regnamespace, 'ledger'::regnamespace) AND relkind IN ('r', 'v')") == 0)
  }

  @Test("views over the tables, and those from the log, are as of then")
  func views() throws {
    try withHistory { ledger, entry in
      let last = try ledger.session().seal()
      func count(_ from: String, _ at: Int64) throws -> String {
        try States.query("SELECT count(*) FROM \(from)", at: at, ledger).first ?? ""
      }
      let changes = "ops_policy_history WHERE key = 'auto_approve'"
      #expect(try count(changes, entry) == "1")
      #expect(try count(changes, last) == "2")
      #expect(
        try count("ops_policy_audit WHERE policy_key = 'auto_approve'", last)
          == String(ledger.count("ops_policy_audit WHERE policy_key = 'auto_approve'")))
      for view in [
        "ops_radar", "ops_proposal_votes", "ops_step_dead_letters", "ops_policy_history",
      ] {
        #expect(try count(view, last) == String(ledger.count(view)), "\(view)")
      }
      // A policy that left and was in force then.
      try ledger.execute("DELETE FROM ops_policy WHERE key = 'auto_approve'")
      #expect(try count(changes, entry) == "1")
    }
  }

  @Test(
    "a query finds all that it reads, however it names it",
    arguments: [
      "SELECT to_jsonb(m)::text FROM ops_missions AS m ORDER BY 1",
      "SELECT m::text FROM ops_missions AS m ORDER BY 1",
      "SELECT (SELECT m)::text FROM ops_missions AS m ORDER BY 1",
      "SELECT count(*)::text FROM ops_mission_steps",
      "SELECT count(m)::text FROM ops_missions AS m",
      "SELECT (m).status FROM ops_missions AS m ORDER BY 1",
      "SELECT count(*)::text FROM ops_missions WHERE ops_missions IS NOT NULL",
      "SELECT x.id::text FROM (TABLE ops_missions) AS x ORDER BY 1",
      "SELECT kind FROM ops_mission_steps AS s JOIN ops_missions AS m ON m.id = mission_id",
      "SELECT policy_snapshot::text FROM ops_missions NATURAL JOIN (SELECT id FROM ops_missions) AS i",
      "WITH s AS (SELECT s FROM ops_mission_steps AS s) SELECT (s).kind FROM s ORDER BY 1",
      "SELECT string_agg(m.status::text, ',') OVER () FROM ops_missions AS m, ops_policy AS p LIMIT 1",
      #"SELECT id::text FROM U&"ops\005fmissions" ORDER BY 1"#,
      "SELECT to_jsonb(r)::text FROM ops_radar AS r", "SELECT max(version)::text FROM ops_policy",
      "SELECT (xpath('//status', query_to_xml('SELECT * FROM ops_missions', true, true, '')))[1]::text",
    ])
  func whatItReads(sql: String) throws {
    try withHistory { ledger, _ in
      let last = try ledger.session().seal()
      let found = try States.query(sql, at: last, ledger)
      let live = try ledger.lines(sql)
      #expect(found == live)
      if !sql.contains("ops_radar") { #expect(!found.isEmpty) }
    }
  }

  @Test("a view is as of then, however its name is written")
  func spelledView() throws {
    try withHistory { ledger, entry in
      let sql = #"SELECT count(*)::text FROM U&"ops_policy\005fhistory" WHERE key = 'auto_approve'"#
      let rows = try States.query(sql, at: entry, ledger)
      #expect(rows == ["1"])
    }
  }

  @Test("what a function of the query read of the live tables is named")
  func functions() throws {
    try withHistory { ledger, entry in
      try ledger.execute(
        """
        CREATE FUNCTION how_many() RETURNS bigint LANGUAGE plpgsql AS
          $$ BEGIN RETURN (SELECT count(*) FROM public.ops_missions); END $$
        """)
      let live = try TimeTravel.query(
        "SELECT public.how_many()", ledger.target, at: entry, head: { _ in }, each: { _ in })
      #expect(live == ["public.ops_missions"])
    }
  }

  @Test("a session that is cut in the middle leaves nothing", arguments: ["terminate", "cancel"])
  func cut(how: String) throws {
    try withHistory { ledger, entry in
      let answers = try atOnce(2) { part -> Bool in
        if part == 0 {
          let error = #expect(throws: OpsError.self) {
            try TimeTravel.query(
              "SELECT pg_sleep(3600)", ledger.target, at: entry, head: { _ in }, each: { _ in })
          }
          return error != nil
        }
        try ledger.wait(for: "query LIKE 'SELECT pg_sleep%' AND state = 'active'")
        try ledger.execute(
          """
          SELECT pg_\(how)_backend(pid) FROM pg_stat_activity
          WHERE query LIKE 'SELECT pg_sleep%' AND pid <> pg_backend_pid()
          """)
        return true
      }
      #expect(answers == [true, true])
      try expectNothingLeft(ledger)
    }
  }
}

extension TestLedger {
  func waitUntilNone(_ from: String) throws {
    try waitUntil("none of \(from)") { try count(from) == 0 }
  }
}
