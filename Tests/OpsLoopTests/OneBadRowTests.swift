import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import TestSupport
import Testing

/// One bad row stops nothing else: whatever a column takes, an owner's trigger refuses, or somebody has
/// guessed, the rows beside it go on.
@Suite("One bad row", .needsServer)
struct OneBadRowTests {
  // MARK: Values

  /// Both ends of a type, and what of it is odd.
  private static func values(_ type: String, _ ledger: TestLedger) throws -> [String] {
    switch type {
    case "timestamptz":
      return [
        "'infinity'", "'-infinity'", "'0001-01-01 00:00:00+00'", "'9999-12-31 23:59:59.999999+00'",
        "NULL",
      ]
    case "integer": return ["-2147483648", "-1", "0", "2000000001", "2147483647", "NULL"]
    case "integer[]": return ["'{}'", "'{-2147483648}'", "'{2147483647,2147483647}'", "NULL"]
    case "text":
      return ["''", "E'\\x01\\n\\u00e9'", "repeat('x', 300000)", "'infinity'", "NULL"]
    case "jsonb":
      return [
        "'null'", "'[]'", "'{}'", #"'"x"'"#, "'1e1000'", #"'{"erased": true}'"#,
        #"'{"steps": [{"kind": "noop"}], "vote": {"deadline": "infinity", "threshold": 1}}'"#,
        #"'{"causation_depth": 99999999999999999999, "dedupe_key": 7, "proposal_template": []}'"#,
        "NULL",
      ]
    case "uuid":
      return ["NULL", "'00000000-0000-0000-0000-000000000000'", "gen_random_uuid()"]
    default:
      return try ledger.lines("SELECT unnest(enum_range(NULL::\(type)))").map { "'\($0)'" }
    }
  }

  /// What makes a row of a row type that the loop looks at, in each of the states in which it does; the last
  /// statement names it in a temporary table.
  private static func makings(of rowType: RowType) -> [String] {
    let proposal = """
      INSERT INTO ops_mission_proposals (id, source, status, template)
      VALUES (gen_random_uuid(), 'manual', '@', '{"risk_level": "low", "steps": [{"kind": "noop"}]}')
      RETURNING id
      """
    let mission = """
      m AS (INSERT INTO ops_missions (id, status) VALUES (gen_random_uuid(), '@') RETURNING id)
      """
    func step(_ columns: String, _ values: String, mission status: String) -> String {
      """
      WITH \(mission.replacing("@", status)), s AS (
        INSERT INTO ops_mission_steps (id, mission_id, kind, ordinal, \(columns))
        SELECT gen_random_uuid(), m.id, 'noop', 0, \(values) FROM m RETURNING id)
      """
    }
    let running = step(
      "status, reserved_at, lease_expires_at, leased_by",
      "'running', ledger.now() - interval '9 min', ledger.now() - interval '1 min', 'gone'",
      mission: "running")
    let made: [String] =
      switch rowType {
      case .agentEvent:
        [
          """
          INSERT INTO ops_agent_events (id, type, data)
          VALUES (gen_random_uuid(), 'scout:find', '{"summary": "s"}') RETURNING id
          """
        ]
      case .reaction:
        [
          """
          INSERT INTO ops_agent_reactions (id, payload) VALUES (gen_random_uuid(),
            '{"proposal_template": {"risk_level": "low", "steps": [{"kind": "noop"}]}}') RETURNING id
          """
        ]
      case .proposal: ["pending", "voting", "approved"].map { proposal.replacing("@", $0) }
      case .mission:
        ["approved", "running", "failed"].map {
          step("status", "'queued'", mission: $0) + " SELECT id FROM m"
        }
      case .step:
        [
          step("status", "'queued'", mission: "approved") + " SELECT id FROM s",
          step("status, needs, not_before", "'queued', '{0}', ledger.now()", mission: "running")
            + " SELECT id FROM s",
          running + " SELECT id FROM s",
        ]
      case .run:
        [
          running + """
            INSERT INTO ops_action_runs (id, step_id, status, run_id)
            SELECT gen_random_uuid(), s.id, 'started', s.id::text FROM s RETURNING id
            """
        ]
      case .radar:
        [
          """
          INSERT INTO ops_demand_radar (id, title, stage)
          VALUES (gen_random_uuid(), 't', 'watching') RETURNING id
          """
        ]
      case .policy, .hold, .ledger: []
      }
    return made
  }

  @Test(
    "no value that a column takes stops the rows beside it",
    arguments: RowType.allCases.filter { $0.isOfTheEight && $0 != .policy })
  func values(rowType: RowType) throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set("proposal_caps", "{}")
      let hand = try Connection(url: ledger.adminURL)
      defer { hand.close() }
      let columns = try ledger.lines(
        "SELECT relation, name, type FROM ledger.captured_columns() WHERE row_type = '\(rowType.rawValue)'"
      )
      var taken = 0
      for column in columns.map({ $0.split(separator: "|").map(String.init) })
      where column[1] != "id" && column[1] != "version" {
        for value in try Self.values(column[2], ledger) {
          for making in Self.makings(of: rowType) {
            let id = try hand.query(Statement(making)).uuid(0, 0)
            do throws(PostgresError) {
              try hand.execute(
                "UPDATE \(column[0]) SET \(column[1]) = \(value) WHERE id = '\(StreamID(id))'")
            } catch {
              // What the table's own constraints and capture refuse cannot be there.
              try hand.rollbackIfOpen()
              continue
            }
            taken += 1
          }
          try expectGoesOn(engine, ledger, "\(column[0]).\(column[1]) = \(value)")
        }
      }
      #expect(taken > columns.count, "of \(rowType) nothing was tried")
      try ledger.expectEqual()
    }
  }

  /// A heartbeat and a worker do what is new, whatever else lies there.
  private func expectGoesOn(_ engine: Engine, _ ledger: TestLedger, _ what: String) throws {
    let event = try engine.emit("scout:find", .object(["summary": .string("fine")])).eventID
    let submitted = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
    let mission = try #require(submitted.missionID)
    let beat = try engine.heartbeat(drain: true)
    #expect(beat.failure == nil, "\(what)")
    _ = try engine.work()
    #expect(
      try ledger.count("ops_agent_events WHERE id = '\(event)' AND processed_at IS NOT NULL") == 1,
      "\(what): the heartbeat stopped")
    #expect(
      try ledger.value("SELECT status FROM ops_missions WHERE id = '\(mission)'") == "succeeded",
      "\(what): the worker stopped")
    _ = try engine.session.status()
    _ = try engine.policyReport()
    _ = try engine.executors()
    _ = try engine.waitingSteps()
  }

  // MARK: Triggers

  /// Which rows of a table belong to what was reported as poisoned.
  private static let poisoned: [(rowType: RowType, table: String, condition: String)] = [
    (.agentEvent, "ops_agent_events", "NEW.data::text LIKE '%poisoned%'"),
    (.reaction, "ops_agent_reactions", "NEW.payload::text LIKE '%poisoned%'"),
    (.proposal, "ops_mission_proposals", "NEW.template::text LIKE '%poisoned%'"),
    (
      .mission, "ops_missions",
      """
      (SELECT p.template::text LIKE '%poisoned%' FROM public.ops_mission_proposals AS p
        WHERE p.id = NEW.proposal_id)
      """
    ),
    (.step, "ops_mission_steps", "NEW.params::text LIKE '%poisoned%'"),
    (
      .run, "ops_action_runs",
      """
      (SELECT s.params::text LIKE '%poisoned%' FROM public.ops_mission_steps AS s WHERE s.id = NEW.step_id)
      """
    ),
    (.radar, "ops_demand_radar", "NEW.title LIKE '%poisoned%'"),
  ]

  @Test(
    "a row that an owner's trigger refuses is quarantined and named, and the others continue",
    arguments: RowType.allCases.filter { $0.isOfTheEight && $0 != .policy })
  func triggers(rowType: RowType) throws {
    let (_, table, condition) = try #require(
      Self.poisoned.first { $0.rowType == rowType }, "a new table must choose")
    try TestLedger.with { ledger in
      let kinds = [
        ("P0001", "INSERT", false), ("55P03", "UPDATE", false), ("23505", "INSERT", true),
        ("42883", "UPDATE", true), ("22023", "UPDATE", false), ("08001", "UPDATE", false),
        ("57014", "INSERT", true), ("ended", "UPDATE", false), ("ended", "UPDATE", true),
      ]
      for (state, event, isDeferred) in kinds where rowType != .agentEvent || event == "UPDATE" {
        let refusal =
          state == "ended"
          ? "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(1)"
          : "RAISE EXCEPTION 'no such row' USING ERRCODE = '\(state)'"
        try ledger.execute(
          """
          CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF \(condition) THEN \(refusal); END IF;
            RETURN NULL;
          END $$;
          CREATE \(isDeferred ? "CONSTRAINT" : "") TRIGGER refuse AFTER \(event) ON public.\(table)
            \(isDeferred ? "DEFERRABLE INITIALLY DEFERRED" : "") FOR EACH ROW
            EXECUTE FUNCTION public.refuse()
          """)
        // An outcome that cannot be recorded is waited for as long as its lease.
        var settings = LoopSettings()
        settings.leaseSeconds = 2
        let engine = try ledger.engine("test", settings)
        try engine.set("proposal_caps", "{}")
        try engine.emit("scout:find", .object(["summary": .string("poisoned")]))
        try expectGoesOn(engine, ledger, "\(state) at \(event) of \(table)")
        try ledger.execute("DROP TRIGGER refuse ON public.\(table)")
        // What was in the way has gone: another engine takes what was left.
        try ledger.moveClock(seconds: 10)
        let other = try ledger.engine()
        _ = try other.heartbeat(drain: true)
        _ = try other.work()
      }
      #expect(
        try ledger.count(
          "ops_agent_events WHERE data::text LIKE '%poisoned%' AND processed_at IS NULL") == 0)
      #expect(
        try ledger.count(
          """
          ops_mission_steps WHERE status = 'queued' AND not_before IS NULL OR status = 'running'
          """) == 0)
      try ledger.expectEqual()
    }
  }

  @Test("what is quarantined stands in status and doctor until it is done")
  func told() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try ledger.execute(
        """
        ALTER TABLE ops_agent_reactions ADD CONSTRAINT no_such CHECK (payload::text NOT LIKE '%poisoned%')
        """)
      try engine.emit("scout:find", .object(["summary": .string("poisoned")]))
      let event = try engine.emit("scout:find", .object(["summary": .string("fine")])).eventID
      let beat = try engine.heartbeat(drain: true)
      #expect(beat.events == 1)
      #expect(beat.quarantined.map(\.rowType) == [.agentEvent])
      #expect(beat.quarantined.allSatisfy { $0.description.contains("no_such") })
      #expect(
        try ledger.count("ops_agent_events WHERE id = '\(event)' AND processed_at IS NOT NULL") == 1
      )
      let status = try engine.session.status()
      #expect(status.quarantined.map(\.by) == ["heartbeat"])
      #expect(status.quarantined.map(\.why) == beat.quarantined.map(\.error.description))
      let finding = try #require(engine.session.examine().first { $0.name == "quarantine" })
      #expect(finding.verdict == .warn)
      #expect(try engine.heartbeat(drain: true).quarantined == [], "it is named once")
      #expect(try engine.session.status().quarantinedCount == 1)

      try ledger.execute("ALTER TABLE ops_agent_reactions DROP CONSTRAINT no_such")
      #expect(try ledger.engine().heartbeat(drain: true).events == 1)
      #expect(try engine.session.status().quarantinedCount == 0)
      try ledger.expectEqual()
    }
  }

  @Test("an owner's trigger that raises a lost race, or every error there is, stops no others")
  func manyRefused() throws {
    try TestLedger.with { ledger in
      var settings = LoopSettings()
      settings.eventBatch = 10
      let engine = try ledger.engine("test", settings)
      try ledger.execute(
        """
        ALTER TABLE ops_agent_events ADD CONSTRAINT no_such
          CHECK (data::text NOT LIKE '%poisoned%' OR processed_at IS NULL)
        """)
      for _ in 0..<35 { try engine.emit("scout:find", .object(["summary": .string("poisoned")])) }
      try engine.emit("scout:find", .object(["summary": .string("fine")]))
      let beat = try engine.heartbeat(drain: true)
      #expect(beat.quarantined.count == 35)
      #expect(beat.events == 1)
    }
  }

  @Test("a condition that never ends for what an agent reported stops no other agent event")
  func endlessCondition() throws {
    try TestLedger.with { ledger in
      var settings = LoopSettings()
      settings.conditionSeconds = (batch: 2, alone: 1)
      let engine = try ledger.engine("test", settings)
      try engine.set(
        "reaction_matrix",
        #"""
        {"patterns": [{"id": "endless", "event_type": "deep:*",
          "condition": "$.**.**.**.**.**.** ? (@ == \"none\")",
          "template": {"title": "t", "risk_level": "low", "steps": [{"kind": "noop"}]}}]}
        """#)
      let deep = String(repeating: #"{"a":"#, count: 200) + "1" + String(repeating: "}", count: 200)
      let bad = try engine.emit("deep:thing", try JSON(parsing: deep)).eventID
      let event = try engine.emit("any:other", .object(["summary": .string("fine")])).eventID
      let beat = try engine.heartbeat(drain: true)
      #expect(beat.failure == nil)
      #expect(beat.quarantined.map(\.row) == [bad])
      #expect(beat.quarantined.first?.error.code == .patternInvalid)
      #expect(
        try ledger.count("ops_agent_events WHERE id = '\(event)' AND processed_at IS NOT NULL") == 1
      )
    }
  }

  // MARK: Keys

  @Test("our own keys, put in by others, stop nobody: of runs, and of the loop's own agent events")
  func guessedKeys() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine, retries: 1), source: .manual, dedupeKey: nil)
      _ = try engine.submit(.noops(.failing, retries: 1), source: .manual, dedupeKey: nil)
      try engine.set(
        "voting_policy", #"{"enabled": true, "thresholds": {"high": 1}, "deadline_minutes": 1}"#)
      try ledger.execute(
        """
        INSERT INTO ops_action_runs (step_id, executor, status, run_id)
          SELECT s.id, 'noop', 'failed', s.id || '-' || n FROM ops_mission_steps AS s, generate_series(1, 9) AS n;
        INSERT INTO ops_agent_events (type, data, processed_at, dedupe_key)
          SELECT 'x:y', '{}', now(), s.id || ':' || o || ':' || n
          FROM (SELECT id FROM ops_mission_steps UNION ALL SELECT id FROM ops_missions) AS s,
            unnest(ARRAY['succeeded', 'failed']) AS o, generate_series(1, 9) AS n
        """)
      let report = try engine.work()
      #expect(report.succeeded == 1 && report.failed == 1)
      #expect(
        try ledger.lines("SELECT status FROM ops_missions ORDER BY 1") == ["succeeded", "failed"])
      #expect(
        try ledger.count("ops_agent_events WHERE type LIKE 'step:%' OR type LIKE 'mission:%'") == 4)

      // And the keys of reactions: the event's id and the pattern's.
      let event = try engine.emit("scout:find", .object(["summary": .string("s")])).eventID
      try ledger.execute(
        """
        INSERT INTO ops_mission_proposals (source, status, template, dedupe_key)
          SELECT 'manual', 'rejected', '{}', '\(event):' || (p->>'id')
          FROM ops_policy, jsonb_array_elements(value->'patterns') AS p WHERE key = 'reaction_matrix'
        """)
      try expectGoesOn(engine, ledger, "guessed keys")
      try ledger.expectEqual()
    }
  }

  // MARK: Locks

  @Test(
    "a row that another transaction has locked holds up its own outcome, and no other",
    arguments: ["ops_mission_steps", "ops_missions", "ops_action_runs"])
  func locked(table: String) throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      let claim = try engine.claim(10, worker: "w")
      let outcomes = claim.steps.map { StepOutcome($0, .succeeded("{}")) }
      #expect(outcomes.count == 2)
      let hand = try Connection(url: ledger.adminURL)
      defer { hand.close() }
      let row =
        switch table {
        case "ops_missions": outcomes[0].missionID
        case "ops_action_runs": outcomes[0].token.runID
        default: outcomes[0].stepID
        }
      try hand.execute("BEGIN; SELECT FROM \(table) WHERE id = '\(row)' FOR UPDATE")
      expectRefusal(.conflict) { try engine.complete([outcomes[0]], .brief) }
      #expect(try engine.complete([outcomes[1]], .brief).succeeded == 1)
      // Leases of the others are renewed meanwhile.
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      let other = try #require(engine.claim(10, worker: "w").steps.first)
      let renewed = try engine.renew([
        (outcomes[0].stepID, outcomes[0].token), (other.step.id, other.token),
      ])
      #expect(renewed[other.step.id] != nil)
      #expect((renewed[outcomes[0].stepID] == nil) == (table == "ops_mission_steps"))
      try hand.execute("ROLLBACK")
      try ledger.expectEqual()
    }
  }
}

extension String {
  fileprivate func replacing(_ part: String, _ other: String) -> String {
    split(separator: part, omittingEmptySubsequences: false).joined(separator: other)
  }
}
