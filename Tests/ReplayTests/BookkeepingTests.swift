import JSON
import Ledger
import Log
import Postgres
import Replay
import TestLedgers
import Testing

/// What `verify` says of everything beside the rows, and what a rebuild says that cannot go on.
@Suite(.needsServer)
struct BookkeepingTests {
  /// A ledger with three agent events, and its superuser, past the guards.
  private static func with(_ body: (TestLedger, [String]) throws -> Void) throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      var ids: [String] = []
      for _ in 0..<3 {
        let committed = try session.performOnce(.new(), .report(.sample()))
        ids.append(committed.answer.description)
      }
      try body(ledger, ids)
    }
  }

  /// A rebuild makes them again.
  private func repair(_ ledger: TestLedger) throws {
    let report = try Rebuilder.run(ledger.target, actor: "test", checkOnly: false)
    #expect(report.outcome == .rebuilt)
    #expect(try ledger.verify().isEqual)
  }

  private func differences(_ ledger: TestLedger) throws -> [[String?]] {
    try ledger.verify().differences.map { [$0.table, $0.row, $0.column, $0.expected, $0.found] }
  }

  @Test("command keys that are missing, moved or nobody's are named, and made again")
  func keys() throws {
    try Self.with { ledger, ids in
      let keys = "SELECT command, entry, recorded_at FROM ledger.idempotency_keys ORDER BY entry"
      let before = try ledger.lines(keys)
      #expect(before.count == 3)
      let entries = try ledger.lines(
        "SELECT entry, command FROM ledger.events WHERE type = 'agent_event.reported' ORDER BY 1"
      ).map { $0.split(separator: "|").map(String.init) }
      let key = IdempotencyKey.new()
      let forged = key.command.id.description
      try ledger.execute(
        """
        DELETE FROM ledger.idempotency_keys WHERE entry = \(entries[0][0]);
        UPDATE ledger.idempotency_keys SET command = '\(forged)' WHERE entry = \(entries[1][0])
        """)
      let report = try ledger.verify()
      #expect(report.logProblems == 0)
      let found = try differences(ledger)
      let expected: [[String?]] = [
        ["ledger.idempotency_keys", entries[0][1], "*", "a key of entry \(entries[0][0])", nil],
        ["ledger.idempotency_keys", entries[1][1], "*", "a key of entry \(entries[1][0])", nil],
        ["ledger.idempotency_keys", forged, "*", nil, "a key of entry \(entries[1][0])"],
      ]
      #expect(found.count == 3 && expected.allSatisfy { found.contains($0) }, "\(found)")
      try repair(ledger)
      #expect(try ledger.lines(keys) == before)
      // Not believed meanwhile: nothing was recorded under it.
      let insert = "INSERT INTO ledger.idempotency_keys (command, entry, recorded_at) VALUES"
      try ledger.execute("\(insert) ('\(forged)', 3, now())")
      let error = #expect(throws: OpsError.self) {
        try ledger.session().performOnce(key, .report(.sample()))
      }
      #expect(error?.code == .inconsistentRow)
      // The engine's own commands leave none.
      #expect(throws: (any Error).self) {
        try ledger.execute("\(insert) ('\(newCommandID())', 3, now())")
      }
    }
  }

  @Test("an event that was taken off the end of its stream is missed by its seal")
  func lastEvents() throws {
    try Self.with { ledger, ids in
      let session = try ledger.session()
      let first = try session.seal()
      _ = try session.perform(.new(), .report(.sample(), .sample("kept"), .sample("gone")))
      let last = try session.seal()
      let sizes = "SELECT size FROM ledger.checkpoints WHERE root IS NULL ORDER BY entry"
      let counted = try ledger.lines(sizes)
      #expect(counted.suffix(2).compactMap { Int($0) }.reduce(0) { $1 - $0 } == 3)
      #expect(try ledger.verify().isEqual)
      // With its row, so that the tables agree with what is left.
      try ledger.deleteEvents(
        where: "stream = (SELECT a.id FROM ops_agent_events AS a WHERE a.type = 'gone')")
      try ledger.executeOffTheRecord("DELETE FROM ops_agent_events WHERE type = 'gone'")
      #expect(
        try differences(ledger) == [
          [
            "ledger.checkpoints", "\(last)", "size", "2 events after entry \(first)", "3",
          ]
        ])
      try repair(ledger)
      #expect(try session.seal() > last)
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("a row that left has its tombstone with its last version and its key, and none besides")
  func tombstones() throws {
    try Self.with { ledger, ids in
      try ledger.execute("DELETE FROM ops_agent_events WHERE id = '\(ids[0])'")
      let table = "ledger.tombstones"
      for (forged, expected) in [
        ("DELETE FROM ledger.tombstones", [[table, ids[0], "*", "a row", nil]]),
        ("UPDATE ledger.tombstones SET version = 1", [[table, ids[0], "version", "2", "1"]]),
        ("UPDATE ledger.tombstones SET version = 3", [[table, ids[0], "version", "2", "3"]]),
        (
          "UPDATE ledger.tombstones SET row_type = 'step'",
          [[table, ids[0], "row_type", "agent_event", "step"]]
        ),
        (
          "UPDATE ledger.tombstones SET dedupe_key = 'k'",
          [[table, ids[0], "dedupe_key", nil, "k"]]
        ),
        (
          "INSERT INTO ledger.tombstones VALUES ('\(ids[1])', 'agent_event', 1)",
          [[table, ids[1], "*", nil, "a row"]]
        ),
      ] as [(String, [[String?]])] {
        try ledger.execute(forged)
        #expect(try differences(ledger) == expected)
        try repair(ledger)
      }
    }
  }

  @Test("who holds the tables is named when a rebuild gives up")
  func holders() throws {
    try Self.with { ledger, _ in
      try ledger.executeOffTheRecord("DELETE FROM ops_agent_events; DELETE FROM ops_policy")
      let reader = try Session(Session.Target(url: ledger.url, application: "slow report"))
      _ = try reader.query(.init("BEGIN"))
      _ = try reader.query(.init("SELECT FROM public.ops_missions"))
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
