import JSON
import TestLedgers
import Testing

/// The shapes and exit codes of time travel on the command line.
@Suite("time travel on the command line", .needsServer)
struct StateCommandTests {
  private func withHistory(_ body: (TestLedger, LedgerProgram, Int) throws -> Void) throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      _ = try opsledger.json(
        "event", "emit", "build:main:failed", "--data", #"{"build": "b", "source": "ci"}"#)
      _ = try opsledger.json("heartbeat", "--drain")
      let entry = try #require(try opsledger.json("status")["entry"]?.intValue)
      _ = try opsledger.json("worker")
      try body(ledger, opsledger, entry)
    }
  }

  @Test("counts, a time, and what is beyond the last sealed entry")
  func at() throws {
    try withHistory { ledger, opsledger, entry in
      let counts = try opsledger.json("state", "at", "\(entry)")
      #expect(counts["rows"]?["ops_mission_steps"] == .int(3))
      #expect(counts["statuses"]?["ops_mission_steps"] == .object(["queued": .int(3)]))
      let now = try opsledger.json("state", "at", "-0s")
      #expect(now["statuses"]?["ops_mission_steps"] == .object(["succeeded": .int(3)]))
      #expect(
        try now["entry"]?.intValue == Int(ledger.value("SELECT max(entry) FROM ledger.events")))
      let text = try opsledger("state", "at", "\(entry)")
      #expect(text.output.hasPrefix("as of entry \(entry), recorded "))
      let beyond = try opsledger("state", "at", "1000000")
      #expect(beyond.code == 1)
      #expect(beyond.errors.hasPrefix("error OPS_011: "))
      #expect(try opsledger("state", "at", "yesterday").code == 2)
      #expect(try opsledger("state", "at", "1", "--query", "SELECT 1", "--into", "x").code == 2)
    }
  }

  @Test("restore --at without a store says first what became of the tables")
  func back() throws {
    try withHistory { _, opsledger, entry in
      let answer = try opsledger("restore", "--at", "\(entry)", "--why", "a wrong policy")
      #expect(answer.output.hasPrefix("the tables are as they were after entry \(entry) ("))
      let nothing = try opsledger("restore", "--why", "to be sure")
      #expect(nothing.output == "this database is not a stale copy; its tables equal the log\n")
    }
  }

  @Test("a query prints as psql --csv does, and nothing but its rows on stdout")
  func csv() throws {
    try withHistory { ledger, opsledger, entry in
      let sql = #"""
        SELECT 1 AS "a,b", NULL AS n, '' AS e, 'x"y' AS q, E'two\nlines' AS l, ' s ' AS s, '\.' AS d,
          true AS t, ARRAY[1, 2] AS r, interval '1 hour' AS i, 1.50 AS num, '{"k": "v"}'::jsonb AS j,
          status FROM ops_mission_steps LIMIT 1
        """#
      let csv = try opsledger("state", "at", "\(entry)", "--query", sql)
      #expect(csv.code == 0)
      #expect(
        csv.output == #"""
          "a,b",n,e,q,l,s,d,t,r,i,num,j,status
          1,,,"x""y","two
          lines", s ,"\.",t,"{1,2}",01:00:00,1.50,"{""k"": ""v""}",queued

          """#)
      #expect(csv.errors.hasPrefix("as of entry \(entry), "))
      let rows = try opsledger.json("state", "at", "\(entry)", "--query", sql)
      #expect(rows[0]?["num"]?.text == "1.50")
      #expect(rows[0]?["j"]?["k"] == .string("v"))
      #expect(rows[0]?["n"] == .null)
      let none = try opsledger("state", "at", "\(entry)", "--query", "SELECT 1 AS one WHERE false")
      #expect(none.output == "one\n")
      let refused = try opsledger(
        "state", "at", "\(entry)", "--query", "SELECT ledger.allocate_entry()")
      #expect(refused.code == 1)
      #expect(refused.output.isEmpty)
    }
  }

  @Test("one mission, a diff, and a bisection have the shapes that scripts rely on")
  func shapes() throws {
    try withHistory { ledger, opsledger, entry in
      let id = try ledger.value("SELECT id FROM ops_missions")
      let mission = try opsledger.json("state", "at", "\(entry)", "--mission", id)
      #expect(mission["mission"]?["status"] == .string("approved"))
      #expect(mission["proposal"]?["status"] == .string("auto_approved"))
      #expect(mission["steps"]?.arrayValue?.count == 3)
      #expect(mission["runs"] == .array([]))
      #expect(try opsledger("state", "at", "1", "--mission", id).code == 1)
      let diff = try opsledger.json("state", "diff", "\(entry)", "-0s", "--limit", "2")
      #expect(diff["counts"]?["ops_mission_steps"]?["changed"] == .int(3))
      #expect(diff["rows"]?.arrayValue?.count == 2)
      #expect((diff["left_out"]?.intValue ?? 0) > 0)
      let text = try opsledger("state", "diff", "\(entry)", "-0s")
      #expect(text.output.contains("status: queued → succeeded"))
      #expect(try opsledger("state", "diff", "\(entry)", "1").code == 2)
      let sql = "SELECT count(*) > 0 FROM ops_missions"
      let found = try opsledger.json("bisect", "--query", sql)
      #expect(
        found.keys.sorted() == [
          "entry", "event_count", "events", "false_at", "first", "recorded_at", "states_built",
        ])
      #expect(
        try found["entry"]?.intValue
          == Int(ledger.value("SELECT entry FROM ledger.events WHERE type = 'mission.created'")))
      #expect(try opsledger("bisect", "--query", "SELECT true").code == 1)
      #expect(try opsledger("bisect").code == 2)
    }
  }
}
