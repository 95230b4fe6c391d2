import JSON
import Ledger
import Log
import Postgres
import Replay
import TestLedgers
import TestSupport
import Testing

@Suite(.needsServer)
struct ReplayTests {
  @Test("an auditor's login verifies")
  func auditor() throws {
    try TestLedger.with { ledger in
      _ = try ledger.session().perform(.new(), .report(.sample()))
      let report = try ledger.withLogin(in: "opsledger_auditor") { try Verifier.run($0) }
      #expect(report.isEqual)
    }
  }

  @Test("how a document was spelled makes no difference between log and table")
  func spelling() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      for data in [
        #"{"b":1.00,"aa":[1.0,1e2,-0.0],"a":{"z":null,"y":true}}"#, #"{ "x" : "\u00e9\/" }"#,
        #"{"twice":1,"twice":2}"#, "[]", "null", #""text""#, "12345678901234567890.10",
      ] {
        _ = try session.perform(.new(), .report(.sample(data: data)))
      }
      let report = try ledger.verify()
      #expect(report.differences == [])
      #expect(report.rows["ops_agent_events"] == 7)
    }
  }

  @Test("a number whose digits were changed is a difference, though jsonb calls the two equal")
  func digits() throws {
    try TestLedger.with { ledger in
      let committed = try ledger.session().perform(
        .new(), .report(.sample(data: #"{"n": 1.0}"#)))
      try ledger.executeOffTheRecord(#"UPDATE ops_agent_events SET data = '{"n": 1.00}'"#)
      let report = try ledger.verify()
      #expect(
        report.differences == [
          Difference(
            table: "ops_agent_events", row: committed.answer.description, column: "data",
            expected: #"{"n": 1.0}"#, found: #"{"n": 1.00}"#)
        ])
    }
  }

  @Test("a rebuild leaves an operator's own table and its keys on ours alone")
  func operatorsKeys() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      for _ in 0..<3 { _ = try session.perform(.new(), .report(.sample(data: "{}"))) }
      try ledger.execute(
        """
        CREATE TABLE mine (event uuid REFERENCES ops_agent_events ON DELETE SET NULL,
          key text REFERENCES ops_agent_events (dedupe_key) ON DELETE SET NULL);
        INSERT INTO mine (event) SELECT id FROM ops_agent_events
        """)
      try ledger.executeOffTheRecord("DELETE FROM ops_agent_events; DELETE FROM ops_policy")
      let report = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
      guard case .rebuilt = report.outcome else {
        Issue.record("\(report.outcome)")
        return
      }
      #expect(try ledger.verify().isEqual)
      #expect(try ledger.count("mine") == 3)
      #expect(
        try ledger.count("pg_constraint WHERE contype = 'f' AND conrelid = 'mine'::regclass") == 2)
      #expect(
        try ledger.count("pg_constraint WHERE conname = 'ops_agent_events_dedupe_key_key'") == 1)
    }
  }

  @Test("texts at their worst come back as they were")
  func oddTexts() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      var texts = Generator.hardTexts
      texts.append(String(repeating: "é🧾\\\"\n", count: 100_000))
      for text in texts {
        let data = JSON.object([text: .array([.string(text)])]).text
        _ = try session.perform(.new(), .report(.sample(data: data, thought: text)))
      }
      let report = try ledger.verify()
      #expect(report.differences == [])
      #expect(report.rows["ops_agent_events"] == texts.count)
      #expect(
        Set(try ledger.lines("SELECT thought FROM ops_agent_events")) == Set(texts))
    }
  }

  @Test("tables that were emptied come back", arguments: [true, false])
  func emptied(all: Bool) throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      for number in 0..<20 {
        _ = try session.perform(.new(), .report(.sample("number:\(number)")))
      }
      let rows = "SELECT * FROM ops_agent_events ORDER BY id"
      let before = try ledger.lines(rows)
      try ledger.executeOffTheRecord(
        "DELETE FROM ops_agent_events" + (all ? "; DELETE FROM ops_policy" : ""))
      let rebuilt = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
      #expect(rebuilt.outcome == .rebuilt)
      #expect(rebuilt.written["ops_agent_events"]?.inserted == 20)
      #expect(try ledger.lines(rows) == before)
      #expect(try ledger.verify().isEqual)
      #expect(try ledger.count("ledger.events WHERE type = 'ledger.rebuilt'") == 1)
    }
  }

  @Test("a rebuild of tables that equal the log writes nothing and records nothing")
  func nothingToDo() throws {
    try TestLedger.with { ledger in
      let before = try ledger.count("ledger.events")
      let report = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
      #expect(report.outcome == .equal)
      #expect(try ledger.count("ledger.events") == before)
    }
  }

  @Test("unique keys that were swapped are put back")
  func swappedKeys() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      for key in ["a", "b"] {
        var report = AgentEvent.Report.sample()
        report.dedupeKey = key
        _ = try session.perform(.new(), .report(report))
      }
      let keys = "SELECT id, dedupe_key FROM ops_agent_events ORDER BY id"
      let before = try ledger.lines(keys)
      try ledger.executeOffTheRecord(
        """
        UPDATE ops_agent_events SET dedupe_key = dedupe_key || '!';
        UPDATE ops_agent_events SET dedupe_key = CASE dedupe_key WHEN 'a!' THEN 'b' ELSE 'a' END
        """)
      #expect(try ledger.verify().differenceCount == 2)
      _ = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
      #expect(try ledger.lines(keys) == before)
    }
  }
}
