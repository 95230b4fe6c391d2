import JSON
import Ledger
import Log
import Postgres
import TestLedgers
import Testing

/// What `verify` says of everything beside the rows, and what a rebuild says that cannot go on.
@Suite(.needsServer)
struct BooksTests {
  /// A ledger with three agent events, and its superuser, past the guards.
  private static func with(_ body: (TestLedger, [String]) throws -> Void) throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      var ids: [String] = []
      for _ in 0..<3 {
        let committed = try session.perform(.new(), .report(.sample()))
        ids.append(committed.result.stringValue ?? "")
      }
      try body(ledger, ids)
    }
  }

  private func equalTables(_ ledger: TestLedger) throws {
    let report = try Rebuilder.run(ledger.target, actor: "test", checkOnly: true)
    guard case .equal = report.outcome else {
      Issue.record("\(report.outcome)")
      return
    }
  }

  @Test("a command's key that is missing or moved is named, an old one may be gone")
  func keys() throws {
    try Self.with { ledger, ids in
      let entries = try ledger.lines(
        "SELECT entry, command FROM ledger.events WHERE type = 'agent_event.reported' ORDER BY 1"
      ).map { $0.split(separator: "|").map(String.init) }
      try ledger.execute(
        """
        DELETE FROM ledger.commands WHERE entry = \(entries[0][0]);
        UPDATE ledger.commands SET command = gen_random_uuid() WHERE entry = \(entries[1][0])
        """)
      let report = try ledger.verify()
      let expected = entries.prefix(2).map { entry in
        Difference(
          table: "ledger.commands", row: entry[1], column: "*",
          expected: "a key of entry \(entry[0])", found: nil)
      }
      #expect(report.differences.sorted { $0.row < $1.row } == expected.sorted { $0.row < $1.row })
      #expect(report.bookProblems == 2)
      try equalTables(ledger)
      try ledger.moveClock(seconds: 31 * 86_400)
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("a row that left has its tombstone with its last version, and none besides")
  func tombstones() throws {
    try Self.with { ledger, ids in
      try ledger.execute(
        """
        BEGIN;
        INSERT INTO ledger.events (entry, index, stream, version, type, recorded_at, actor, data)
          SELECT d.entry, 0, '\(ids[0])', 2, 'agent_event.removed', d.recorded_at, 'test', '{}'
          FROM ledger.draw() AS d;
        INSERT INTO ledger.commands (command, entry, events)
          SELECT gen_random_uuid(), max(entry), 1 FROM ledger.events;
        COMMIT
        """)
      try ledger.executeOffTheRecord("DELETE FROM ops_agent_events WHERE id = '\(ids[0])'")
      func differences() throws -> [[String?]] {
        try ledger.verify().differences.map {
          [$0.table, $0.row, $0.column, $0.expected, $0.found]
        }
      }
      #expect(try differences() == [["ledger.tombstones", ids[0], "*", "a row", nil]])
      try equalTables(ledger)
      try ledger.execute(
        "INSERT INTO ledger.tombstones VALUES ('\(ids[0])', 'agent_event', 1)")
      #expect(try differences() == [["ledger.tombstones", ids[0], "version", "2", "1"]])
      try ledger.execute(
        """
        UPDATE ledger.tombstones SET version = 2;
        INSERT INTO ledger.tombstones VALUES ('\(ids[1])', 'agent_event', 1)
        """)
      #expect(try differences() == [["ledger.tombstones", ids[1], "*", nil, "a row"]])
      try ledger.execute("DELETE FROM ledger.tombstones WHERE version = 1")
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("who holds the tables is named when a rebuild gives up")
  func holders() throws {
    try Self.with { ledger, _ in
      try ledger.executeOffTheRecord("DELETE FROM ops_agent_events; DELETE FROM ops_policy")
      let reader = try Session(Session.Target(url: ledger.url, application: "slow report"))
      _ = try reader.query(.init("BEGIN"))
      _ = try reader.query(.init("SELECT FROM ops_missions"))
      let error = #expect(throws: OpsError.self) {
        try Rebuilder.run(ledger.target, actor: "test", checkOnly: false, lockAttemptsMax: 1)
      }
      #expect(error?.code == .conflict)
      #expect(error?.message.contains("(slow report, ") == true, "\(String(describing: error))")
      #expect(error?.message.contains("ops_missions") == true)
      #expect(try ledger.count("ops_policy") == 0)
    }
  }

  @Test("a forced row-level policy is named with its table, and with what to do")
  func forcedPolicy() throws {
    try Self.with { ledger, _ in
      try ledger.execute(
        """
        ALTER TABLE ops_missions ENABLE ROW LEVEL SECURITY;
        ALTER TABLE ops_missions FORCE ROW LEVEL SECURITY
        """)
      let error = #expect(throws: OpsError.self) { try ledger.verify() }
      #expect(error?.code == .notAllowed)
      #expect(error?.message.contains("\"ops_missions\"") == true)
      #expect(error?.hint?.contains("NO FORCE ROW LEVEL SECURITY") == true)
    }
  }

  @Test("infinite times are differences, named as PostgreSQL names them")
  func infinities() throws {
    try Self.with { ledger, ids in
      try ledger.executeOffTheRecord(
        "UPDATE ops_agent_events SET created_at = '-infinity' WHERE id = '\(ids[0])'")
      let found = try ledger.verify().differences.map(\.found)
      #expect(found == ["-infinity"])
      try ledger.executeOffTheRecord(
        "UPDATE ops_agent_events SET created_at = 'infinity' WHERE id = '\(ids[0])'")
      #expect(try ledger.verify().differences.map(\.found) == ["infinity"])
    }
  }
}
