import Glibc
import Host
import JSON
import TestLedgers
import TestSupport
import Testing

/// The tables against the log, the log itself, and input that is refused.
@Suite("replay on the command line", .needsServer)
struct ReplayCommandTests {
  private func withMission(_ body: (TestLedger, LedgerProgram, String) throws -> Void) throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      let data = #"{"job": "j", "error": "boom"}"#
      _ = try opsledger.json("event", "emit", "job:failing", "--data", data)
      _ = try opsledger.json("heartbeat", "--drain")
      for _ in 0..<4 {
        _ = try opsledger.json("worker")
        try ledger.moveClock(seconds: 600)
      }
      let missions = try opsledger.json("mission", "list")
      try body(ledger, opsledger, try #require(missions[0]?["id"]?.stringValue))
    }
  }

  @Test("what is broken past the log is named, mended, and equal again")
  func repair() throws {
    try withMission { ledger, opsledger, id in
      try ledger.executeOffTheRecord("UPDATE ops_missions SET status = 'succeeded'")
      let text = try opsledger("verify")
      #expect(text.code == 1)
      #expect(
        text.output.contains("ops_missions \(id) status: expected failed, found succeeded"))
      let found = try opsledger("verify", "--json")
      #expect(found.code == 1)
      let difference = JSON.object([
        "table": .string("ops_missions"), "row": .string(id), "column": .string("status"),
        "expected": .string("failed"), "found": .string("succeeded"),
      ])
      #expect(found.json["differences"] == .array([difference]))
      #expect(try opsledger("rebuild", "--check").code == 1)
      #expect(try opsledger("verify").code == 1)
      let rebuilt = try opsledger("rebuild")
      #expect(rebuilt.code == 0)
      #expect(rebuilt.output.contains("recorded in entry"))
      #expect(try opsledger("verify").code == 0)
      #expect(try opsledger("rebuild", "--check").code == 0)
    }
  }

  @Test("a mission's history is the same when every row is gone")
  func historyWithoutRows() throws {
    try withMission { ledger, opsledger, id in
      let before = try opsledger("mission", "history", id)
      #expect(before.output.contains("dead letter, after 3 attempts"))
      #expect(before.output.contains("skipped, since step 1 failed"))
      try ledger.executeOffTheRecord(
        """
        TRUNCATE ops_missions, ops_mission_steps, ops_action_runs, ops_agent_events,
          ops_agent_reactions, ops_mission_proposals
        """)
      #expect(try opsledger("mission", "history", id).output == before.output)
      #expect(try opsledger("mission", "show", id).code == 1)
      _ = try opsledger("rebuild")
      #expect(try opsledger.json("mission", "show", id)["status"] == .string("failed"))
    }
  }

  @Test("the log is shown as JSON lines under its columns, from where one says")
  func log() throws {
    try withMission { ledger, opsledger, id in
      let columns: Set<String> = [
        "entry", "index", "stream", "version", "type", "recorded_at", "actor", "cause", "command",
        "data", "content", "salt", "commitment",
      ]
      let all = try opsledger("log", "show", "--entry", "0-1000000", "--json").lines
      #expect(try all.count == ledger.count("ledger.events"))
      #expect(all.allSatisfy { $0.keys == columns })
      let stream = try opsledger("log", "show", "--stream", id, "--json").lines
      #expect(stream.compactMap { $0["version"]?.intValue } == [1, 2, 3])
      let steps = try opsledger("log", "show", "--type", "step.*", "--limit", "2", "--json").lines
      #expect(steps.count == 2)
      #expect(steps.allSatisfy { $0["type"]?.stringValue?.hasPrefix("step.") == true })
      let tail = try opsledger("log", "tail", "--limit", "3", "--json").lines
      #expect(tail == Array(all.suffix(3)))
      let stats = try opsledger.json("log", "stats")
      #expect(stats["events"] == .int(all.count))
    }
  }

  @Test("lists are arrays of rows under their column names")
  func lists() throws {
    try withMission { ledger, opsledger, id in
      for (command, table) in [
        (["event", "list"], "ops_agent_events"), (["proposal", "list"], "ops_mission_proposals"),
        (["mission", "list"], "ops_missions"), (["step", "list"], "ops_mission_steps"),
        (["policy", "list"], "ops_policy"),
      ] {
        let rows = try opsledger.json(command[0], command[1], "--limit", "1000")
        #expect(try rows.arrayValue?.count == ledger.count(table), "\(table)")
        let columns = try ledger.lines(
          """
          SELECT attname FROM pg_attribute
          WHERE attrelid = '\(table)'::regclass AND attnum > 0 AND NOT attisdropped
          """)
        #expect(rows[0]?.keys == Set(columns), "\(table)")
      }
      let dead = try opsledger.json("step", "list", "--dead")
      #expect(dead.arrayValue?.count == 1)
      #expect(try opsledger.json("step", "list", "--mission", id).arrayValue?.count == 3)
    }
  }

  @Test(
    "what cannot be read as a command is 2, and changes nothing",
    arguments: [
      "event emit", "event emit a --data {", "event emit a --data @/nowhere",
      "event emit a --mission x",
      "event list --limit 0", "heartbeat --every soon", "worker --lease 1ms",
      "worker --concurrency 0",
      "mission show x", "mission list --status done", "step list --mission x",
      "log show --entry 5-2",
      "proposal submit --source nobody", "proposal list --status done", "radar list --stage x",
      "policy set a --why w", "init --name ",
    ])
  func refused(line: String) throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
      let result = try Subprocess(
        #require(LedgerProgram.path), words,
        environment: ["PATH": "/usr/bin:/bin", "OPS_DATABASE_URL": opsledger.url], directory: "/",
        timeoutMillis: 600_000
      ).run()
      #expect(result.ending == .exited(2), "\(result.errorText)")
      #expect(result.errorText.hasPrefix("error OPS_019: "))
      #expect(result.output.isEmpty)
      #expect(try ledger.count("ops_agent_events") == 0)
      #expect(try ledger.value("SELECT count(DISTINCT entry) FROM ledger.events") == "1")
    }
  }

  @Test("a worker and a heartbeat that go on end cleanly with TERM")
  func drains() throws {
    try TestLedger.with { ledger in
      for arguments in [
        ["worker", "--watch"], ["heartbeat", "--every", "1h"], ["log", "tail", "--follow"],
      ] {
        // TERM is what the time limit sends; a process that heeds it is not killed.
        try patiently(from: 1.5) { seconds in
          let result = try Subprocess(
            #require(LedgerProgram.path), arguments,
            environment: ["PATH": "/usr/bin:/bin", "OPS_DATABASE_URL": ledger.url], directory: "/",
            timeoutMillis: Int(seconds * 1000)
          ).run()
          // One that had not begun to heed it yet was ended by it.
          guard result.ending == .exited(0) else {
            throw NeverCame("\(arguments): \(result.errorText)")
          }
        }
      }
    }
  }
}
