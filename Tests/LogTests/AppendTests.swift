import JSON
import Ledger
import Log
import Postgres
import Replay
import TestLedgers
import TestSupport
import Testing

@Suite(.needsServer)
struct AppendTests {
  @Test("a command is one entry, whose events are numbered from zero")
  func oneEntry() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      let committed = try session.perform(
        .new(), .report(.sample("a"), .sample("b"), .sample("c")))
      let entry = try #require(committed.entry)
      #expect(
        try ledger.lines(
          """
          SELECT index, version, type, actor, command = first_value(command) OVER (ORDER BY index) FROM ledger.events WHERE entry = \(entry) ORDER BY index
          """) == (0..<3).map { "\($0)|1|agent_event.reported|test|true" })
      // A key from outside is kept, and the engine's own is not.
      #expect(try ledger.count("ledger.idempotency_keys") == 0)
      #expect(
        try ledger.count("ops_agent_events WHERE version = 1 AND type IN ('a', 'b', 'c')") == 3)
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("the same key and request record once, and give the first result")
  func idempotent() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      let key = IdempotencyKey.new()
      let first = try session.performOnce(key, .report(.sample()))
      let second = try session.performOnce(key, .report(.sample()))
      #expect(second.entry == first.entry)
      #expect(second.answer == first.answer)
      #expect(try ledger.count("ops_agent_events") == 1)
    }
  }

  @Test("the same key with another request is a conflict and records nothing")
  func keyReused() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      let id = newCommandID()
      let (one, other) = (IdempotencyKey.new(id, of: "one"), IdempotencyKey.new(id, of: "other"))
      _ = try session.performOnce(one, .report(.sample()))
      let refusal = #expect(throws: OpsError.self) {
        try session.performOnce(other, .report(.sample()))
      }
      #expect(refusal?.code == .conflict)
      #expect(try ledger.count("ops_agent_events") == 1)
    }
  }

  @Test("many at once under one key record once")
  func idempotentAtOnce() throws {
    try TestLedger.with { ledger in
      let key = IdempotencyKey.new()
      let committed = try atOnce(6) { _ in
        try ledger.session().performOnce(key, .report(.sample()))
      }
      #expect(Set(committed.map(\.entry)).count == 1)
      #expect(Set(committed.map(\.answer)).count == 1)
      #expect(try ledger.count("ops_agent_events") == 1)
    }
  }

  @Test("whoever loses a race loads and decides again: no count is lost")
  func lostRaces() throws {
    try TestLedger.with { ledger in
      let counts = try atOnce(3) { _ in
        let session = try ledger.session()
        // Who of three is quicker is chance, and so is how often.
        session.attemptsMax = 1000
        return try (0..<15).map { _ in try session.perform(.new(), .count()).answer }
      }
      #expect(Set(counts.flatMap { $0 }) == Set(1...45))
      #expect(
        try ledger.value(
          "SELECT value::text || ' ' || version FROM ops_policy WHERE key = 'counter'")
          == "45 45")
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("a decision that throws leaves nothing, and the session goes on")
  func refused() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      let before = try ledger.count("ledger.events")
      let command = Command(Reads()) { (_, draft) throws(OpsError) in
        draft.append(.reported(.sample(), processed: false), of: AgentEvent.self, to: draft.newID())
        throw OpsError(.notFound, "no")
      }
      let refusal = #expect(throws: OpsError.self) { try session.perform(.new(), command) }
      #expect(refusal?.code == .notFound)
      #expect(try session.connection().transactionStatus == .idle)
      #expect(try ledger.count("ledger.events") == before)
      #expect(try ledger.count("ops_agent_events") == 0)
      #expect(
        try ledger.count(
          """
          pg_locks WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          """) == 0)
      _ = try session.perform(.new(), .report(.sample()))
      #expect(try ledger.count("ops_agent_events") == 1)
    }
  }

  @Test("a command that decides nothing records nothing")
  func nothing() throws {
    try TestLedger.with { ledger in
      let before = try ledger.count("ledger.events")
      let committed = try ledger.session().perform(
        .new(), Command(Reads()) { (_, _) throws(OpsError) in 7 })
      #expect(committed.entry == nil)
      #expect(committed.answer == 7)
      #expect(try ledger.count("ledger.events") == before)
    }
  }

  @Test(
    "an entry beyond the last partition makes the partition it needs", arguments: [false, true])
  func partitionOnDemand(fresh: Bool) throws {
    try TestLedger.with { ledger in
      try ledger.execute("SELECT setval('ledger.entry_sequence', 6999999, true)")
      let session = try ledger.session()
      let entry =
        fresh
        ? try session.appendFresh(.new(), freshDraft(.sample())).entry
        : try session.perform(.new(), .report(.sample())).entry
      #expect(try #require(entry) >= 7_000_000)
      #expect(try ledger.count("ledger.events_p000007000000") == 1)
      #expect(try ledger.count("ops_agent_events") == 1)
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("one statement appends what two round trips do")
  func freshAppend() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      let key = CommandKey.new()
      let draft = freshDraft(.sample("a"), .sample("b", thought: "hm"))
      let committed = try session.appendFresh(key, draft)
      let again = try session.appendFresh(key, draft)
      #expect(again.entry == committed.entry)
      #expect(try ledger.count("ops_agent_events WHERE isfinite(created_at)") == 2)
      #expect(
        try ledger.count(
          "ops_agent_events AS a JOIN ledger.events AS e ON e.stream = a.id "
            + "WHERE e.recorded_at = a.created_at") == 2)
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("a lost connection is opened again, and the command is done once")
  func lostConnection() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      _ = try session.perform(.new(), .report(.sample()))
      try ledger.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND usename <> current_user
        """)
      _ = try session.perform(.new(), .report(.sample()))
      #expect(try ledger.count("ops_agent_events") == 2)
    }
  }

  @Test(
    "DISCARD ALL, and DDL on what a command reads, cost the next command another try and nothing else"
  )
  func staleStatements() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        "CREATE TABLE public.mine AS SELECT 1 AS a; GRANT SELECT ON public.mine TO PUBLIC")
      let session = try ledger.session()
      var reads = Reads()
      _ = reads.add(Statement("SELECT * FROM public.mine"))
      let command = Command.report(.sample(), reads: reads)
      let path = Statement("SELECT current_setting('lock_timeout')")
      let usual = try session.query(path).text(0, 0)
      _ = try session.perform(.new(), command)
      try session.connection().execute("DISCARD ALL")
      _ = try session.perform(.new(), command)
      #expect(try session.query(path).text(0, 0) == usual)
      try ledger.execute("ALTER TABLE public.mine ADD COLUMN b integer")
      _ = try session.perform(.new(), command)
      #expect(try ledger.count("ops_agent_events") == 3)
    }
  }
}
