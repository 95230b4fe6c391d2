import Archive
import JSON
import Ledger
import Log
import OpsLoop
import Replay
import TestLedgers
import TestSupport
import Testing

/// Missions that are old enough leave, with all that is theirs and nothing that is not, and come back.
@Suite("Retention", .enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct RetentionTests {
  /// A ledger with missions that are older than the rule.
  private static func withOldMissions(
    _ count: Int = 4, _ body: (TestLedger, MemoryStore) throws -> Void
  ) throws {
    try TestLedger.with { ledger in
      try work(ledger, count, "old")
      try ledger.moveClock(seconds: 91 * 86_400)
      try body(ledger, MemoryStore())
    }
  }

  private static func work(_ ledger: TestLedger, _ count: Int, _ key: String) throws {
    let engine = try ledger.engine()
    for number in 0..<count {
      _ = try engine.emit(
        AgentEvent.Report(
          type: "scout:find",
          data: #"{"summary": "find \#(number)", "source": "scout\#(number % 2)"}"#,
          dedupeKey: "\(key)-\(number)"))
    }
    _ = try engine.heartbeat(drain: true) { _ in }
    _ = try Worker(
      engine, Worker.Options(name: "host-1"), shouldStop: { false }, report: { _ in }
    ).run()
    _ = try engine.heartbeat(drain: true) { _ in }
  }

  private static func apply(
    _ ledger: TestLedger, _ files: MemoryStore, _ plan: String? = nil
  ) throws -> RetentionReport {
    let session = try ledger.session()
    let digest = try plan ?? session.retentionPlan().digest
    return try Retention(session, [files], actor: "test").apply(plan: digest)
  }

  private static let tables = [
    "ops_mission_proposals", "ops_missions", "ops_mission_steps", "ops_agent_events",
    "ops_agent_reactions", "ops_action_runs",
  ]

  /// Every row but for its version.
  private static func rows(_ ledger: TestLedger) throws -> [String] {
    try tables.flatMap { table in
      try ledger.lines(
        "SELECT '\(table)', (to_jsonb(t) - 'version')::text FROM \(table) AS t ORDER BY t.id")
    }
  }

  private static func verify(_ ledger: TestLedger) throws {
    let report = try ledger.verify()
    #expect(report.isEqual, "\(report.differences)")
  }

  @Test("the tables go back to before old missions left, and forward again")
  func pointInTimeRestore() throws {
    try Self.withOldMissions { ledger, files in
      let moment = try ledger.session().seal()
      let before = try Self.rows(ledger)
      #expect(try Self.apply(ledger, files).left == 4)
      let gone = try ledger.session().seal()
      let after = try Self.rows(ledger)
      for (to, rows) in [(moment, before), (gone, after), (moment, before)] {
        _ = try TimeTravel.goBack(
          Session.Target(url: ledger.adminURL), to: to, why: "a test", actor: "test")
        #expect(try Self.rows(ledger) == rows)
        try Self.verify(ledger)
      }
    }
  }

  @Test(
    "old missions leave with all that is theirs, keep their keys taken, and their histories whole")
  func leave() throws {
    try Self.withOldMissions { ledger, files in
      try Self.work(ledger, 2, "young")
      let session = try ledger.session()
      let missions = try session.list(.missions(status: nil, limit: 100))
      let before = try missions.map { try session.history(ofMission: $0.id).events }
      let plan = try session.retentionPlan()
      #expect(plan.leaving.count == 4 && plan.staying == [.young: 2])
      let report = try Self.apply(ledger, files, plan.digest)
      #expect(report.left == 4 && report.isComplete)
      #expect(try ledger.count("ops_missions") == 2)
      #expect(try ledger.count("ops_mission_proposals") == 2)
      #expect(try ledger.count("ops_mission_steps") == 2)
      #expect(try ledger.count("ops_action_runs") == 2)
      #expect(try ledger.count("ops_agent_reactions WHERE status = 'done'") >= 2)
      #expect(try ledger.count("ops_agent_events WHERE dedupe_key LIKE 'old-%'") == 0)
      #expect(try ledger.count("ops_agent_events WHERE dedupe_key LIKE 'young-%'") == 2)
      #expect(try ledger.count("ledger.events WHERE type = 'mission.archived'") == 4)
      try Self.verify(ledger)
      for (mission, events) in zip(missions, before) {
        let after = try session.history(ofMission: mission.id).events
        #expect(events.allSatisfy { event in after.contains(event) })
      }
      // The keys stay taken, whoever asks.
      let again = try ledger.engine().emit(
        AgentEvent.Report(type: "scout:find", data: "{}", dedupeKey: "old-0"))
      #expect(again.isDuplicate)
      for sql in [
        "INSERT INTO ops_agent_events (type, data, dedupe_key) VALUES ('x', '{}', 'old-1')",
        """
        BEGIN; SET LOCAL opsledger.entry = '1';
        INSERT INTO ops_agent_events (type, data, dedupe_key, version) VALUES ('x', '{}', 'old-1', 1);
        COMMIT
        """,
        "UPDATE ops_agent_events SET dedupe_key = 'old-1' WHERE dedupe_key = 'young-0'",
        """
        UPDATE ops_agent_events SET dedupe_key = 'old-1', version = version + 1
        WHERE dedupe_key = 'young-0'
        """,
      ] {
        #expect(throws: (any Error).self, "\(sql)") { try ledger.execute(sql) }
      }
      #expect(try Self.apply(ledger, files).left == 0)
      #expect(try StoreVerifier(try Store.existing(files)).run().faults.isEmpty)
      // A database made from the store has the same bookkeeping.
      _ = try Pusher(session, files).run()
      let tombstones = try ledger.lines("SELECT * FROM ledger.tombstones ORDER BY stream")
      try TestLedger.withEmptyDatabase { other in
        _ = try Restorer(
          Session.Target(url: other.adminURL), [files], actor: "test"
        ).run()
        let restored = try other.lines("SELECT * FROM ledger.tombstones ORDER BY stream")
        #expect(restored == tombstones)
      }
    }
  }

  @Test(
    "one mission that the database refuses stays and is named, and the rest of its batch leaves")
  func refused() throws {
    try Self.withOldMissions(6) { ledger, files in
      let missions = try ledger.session().list(.missions(status: nil, limit: 100))
      try ledger.execute(
        """
        CREATE TABLE public.invoices (step_id uuid REFERENCES ops_mission_steps);
        INSERT INTO invoices SELECT id FROM ops_mission_steps WHERE mission_id = '\(missions[2].id)'
        """)
      let report = try Self.apply(ledger, files)
      #expect(report.left == 5 && !report.isComplete)
      #expect(report.refused.map(\.mission) == [missions[2].id])
      try Self.verify(ledger)
      try ledger.execute("DROP TABLE invoices")
      #expect(try Self.apply(ledger, files).left == 1)
      try Self.verify(ledger)
    }
  }

  @Test(
    "missions of one batch that share a proposal, or what led to them, leave as one after the other would"
  )
  func shared() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      _ = try engine.setPolicy(
        "reaction_matrix",
        to: JSON(
          parsing: #"""
            {"patterns": [
              {"id": "one", "event_type": "both", "template": {"title": "one", "risk_level": "low",
                "steps": [{"kind": "noop"}]}},
              {"id": "two", "event_type": "both", "template": {"title": "two", "risk_level": "low",
                "steps": [{"kind": "noop"}]}},
              {"id": "next", "event_type": "mission:succeeded", "condition": "$.mission_id != null",
                "template": {"title": "next", "risk_level": "low", "steps": [{"kind": "noop"}]}}]}
            """#), why: "test")
      _ = try engine.emit(AgentEvent.Report(type: "both", data: "{}"))
      for _ in 0..<3 {
        _ = try engine.heartbeat(drain: true) { _ in }
        _ = try Worker(
          engine, Worker.Options(name: "host-1"), shouldStop: { false }, report: { _ in }
        ).run()
      }
      try ledger.execute(
        """
        INSERT INTO ops_missions (proposal_id, status, completed_at)
          SELECT proposal_id, 'succeeded', now() FROM ops_missions ORDER BY id LIMIT 1;
        UPDATE ops_agent_events SET processed_at = now() WHERE processed_at IS NULL
        """)
      _ = try engine.setPolicy(
        "reaction_matrix", to: JSON(parsing: #"{"patterns": []}"#), why: "test")
      _ = try engine.heartbeat(drain: true) { _ in }
      try ledger.moveClock(seconds: 91 * 86_400)
      let before = try Self.rows(ledger)
      let missions = try ledger.session().list(.missions(status: nil, limit: 100))
      #expect(missions.count >= 5)
      let files = MemoryStore()
      let report = try Self.apply(ledger, files)
      #expect(report.left == missions.count, "\(report)")
      for table in Self.tables where table != "ops_agent_events" {
        #expect(try ledger.count(table) == 0, "\(table)")
      }
      // What heartbeats say is of no mission.
      #expect(try ledger.count("ops_agent_events WHERE type <> 'heartbeat:success'") == 0)
      try Self.verify(ledger)
      // The last one that left comes back first, as its rows refer to those of no earlier one.
      let restorer = MissionRestorer(try ledger.session(), actor: "test")
      for mission in missions.sorted(by: { $0.id > $1.id }) { _ = try restorer.run(mission.id) }
      #expect(try ledger.count("ops_missions") == missions.count)
      #expect(try Self.rows(ledger) == before)
      try Self.verify(ledger)
    }
  }

  @Test("an archived mission comes back alone, though others left in the same entry")
  func alone() throws {
    try Self.withOldMissions(4) { ledger, files in
      let missions = try ledger.session().list(.missions(status: nil, limit: 100))
      let ids = "SELECT id FROM ops_missions ORDER BY id"
      #expect(try Self.apply(ledger, files).left == 4)
      #expect(
        try ledger.count(
          "(SELECT DISTINCT entry FROM ledger.events WHERE type = 'mission.archived') AS e")
          == 1)
      _ = try MissionRestorer(try ledger.session(), actor: "test").run(missions[1].id)
      #expect(try ledger.lines(ids) == [missions[1].id.description])
      #expect(try ledger.count("ops_mission_steps") == 1)
      #expect(try ledger.count("ops_mission_proposals") == 1)
      try Self.verify(ledger)
    }
  }

  @Test("an archived mission comes back as it was but for its versions, and leaves again")
  func comeBack() throws {
    try Self.withOldMissions(3) { ledger, files in
      let before = try Self.rows(ledger)
      let missions = try ledger.session().list(.missions(status: nil, limit: 100))
      for round in 0..<2 {
        let entry = try ledger.session().seal()
        #expect(try Self.apply(ledger, files).left == 3, "round \(round)")
        let restorer = MissionRestorer(try ledger.session(), actor: "test")
        for mission in missions { _ = try restorer.run(mission.id) }
        let after = try Self.rows(ledger)
        #expect(after == before)
        expectRefusal(.notFound) { try restorer.run(missions[0].id) }
        try Self.verify(ledger)
        let counts = try TimeTravel.counts(ledger.target, at: entry)
        #expect(counts.tables["ops_missions"]?.rows == 3)
      }
    }
  }

  @Test(
    "an archived mission stays archived if an event that archived one of its rows cannot be read")
  func unreadable() throws {
    try Self.withOldMissions(2) { ledger, files in
      let mission = try #require(
        try ledger.session().list(.missions(status: nil, limit: 1)).first
      ).id
      #expect(try Self.apply(ledger, files).left == 2)
      try ledger.deleteEvents(where: "false")
      try ledger.execute(
        """
        UPDATE ledger.events SET data = jsonb_set(data::jsonb, '{mission_id}', '"none"')::json
        WHERE type = 'step.archived' AND data ->> 'mission_id' = '\(mission)'
        """)
      let refusal = expectRefusal(.inconsistentRow) {
        try MissionRestorer(try ledger.session(), actor: "test").run(mission)
      }
      #expect(refusal?.message.contains("step.archived") ?? false)
      #expect(try ledger.count("ops_missions") == 0)
    }
  }

  @Test("what a restore to after it left took away again comes back too")
  func comeBackAfterRestore() throws {
    try Self.withOldMissions(2) { ledger, files in
      let moment = try ledger.session().seal()
      let mission = try #require(
        try ledger.session().list(.missions(status: nil, limit: 1)).first
      ).id
      #expect(try Self.apply(ledger, files).left == 2)
      let gone = try ledger.session().seal()
      for to in [moment, gone] {
        _ = try TimeTravel.goBack(
          Session.Target(url: ledger.adminURL), to: to, why: "a test", actor: "test")
      }
      _ = try MissionRestorer(try ledger.session(), actor: "test").run(mission)
      #expect(try ledger.count("ops_missions WHERE id = '\(mission)'") == 1)
      #expect(try ledger.count("ops_mission_steps WHERE mission_id = '\(mission)'") == 1)
      try Self.verify(ledger)
    }
  }

  @Test("holds keep missions, also one that is placed after the plan; what happens late does too")
  func holdsAndLateEvents() throws {
    try Self.withOldMissions(6) { ledger, files in
      let engine = try ledger.engine()
      let session = try ledger.session()
      let missions = try session.list(.missions(status: nil, limit: 100))
      _ = try engine.placeHold(.mission(missions[0].id), why: "case")
      let source = try engine.placeHold(.source("scout1"), why: "case")
      let held = try session.retentionPlan()
      #expect(held.staying[.held].map { $0 >= 3 } == true, "\(held.staying)")
      _ = try engine.releaseHold(source, why: "over")
      let plan = try session.retentionPlan()
      #expect(plan.leaving.count == 5 && plan.held.count == 1)
      // One is held and to another something happens before the apply: the plan is not what would leave.
      let late = try engine.placeHold(.mission(missions[1].id), why: "late")
      expectRefusal(.conflict) { try Self.apply(ledger, files, plan.digest) }
      _ = try engine.releaseHold(late, why: "over")
      #expect(try ledger.count("ops_missions") == 6)
      let time = missions[3].createdAt
      let all = try engine.placeHold(.time(from: time, until: time), why: "of a time")
      let open = try session.retentionPlan()
      #expect(!open.leaving.contains { $0.mission == missions[3].id })
      _ = try engine.releaseHold(all, why: "over")
      #expect(try Self.apply(ledger, files).left == 5)
      try Self.verify(ledger)
    }
  }

  @Test("missions that something still waits for stay, and so do all where the policy is broken")
  func reasons() throws {
    try Self.withOldMissions(4) { ledger, files in
      let ids = try ledger.lines("SELECT id FROM ops_missions ORDER BY id")
      try ledger.execute(
        """
        INSERT INTO ops_agent_events (type, data, mission_id) VALUES ('note', '{}', '\(ids[0])');
        UPDATE ops_mission_steps SET status = 'queued' WHERE mission_id = '\(ids[1])';
        UPDATE ops_missions SET status = 'running' WHERE id = '\(ids[2])'
        """)
      let plan = try ledger.session().retentionPlan()
      #expect(plan.leaving.count == 1)
      #expect(plan.staying == [.agentEventsUnprocessed: 1, .stepsOpen: 1, .open: 1])
      try ledger.execute(
        "UPDATE ops_policy SET value = '{\"succeeded_days\": \"many\"}' WHERE key = 'retention'")
      expectRefusal(.badInput) { try ledger.session().retentionPlan() }
      try ledger.execute(
        "UPDATE ops_policy SET value = '{\"failed_days\": 1}' WHERE key = 'retention'")
      #expect(try ledger.session().retentionPlan().leaving.isEmpty)
    }
  }

  @Test("a log that is old enough leaves with its missions, and all is told from the store")
  func partitions() throws {
    try Self.withOldMissions(3) { ledger, files in
      let before = try ledger.session().seal()
      let states = try TimeTravel.counts(ledger.target, at: before)
      try ledger.execute("SELECT ledger.adopt_instance(1000005), ledger.add_partitions()")
      try Self.work(ledger, 1, "young")
      let session = try ledger.session()
      let plan = try session.retentionPlan()
      #expect(plan.partitions.map(\.first) == [0])
      let report = try Self.apply(ledger, files, plan.digest)
      #expect(report.partitions == 1 && report.events > 0 && report.left == 3)
      #expect(try ledger.count("ledger.events WHERE entry < 1000000") == 0)
      var target = ledger.target
      target.archivedLog = StoredLog(files)
      let verified = try Verifier.run(target)
      #expect(verified.isEqual, "\(verified.differences)")
      #expect(try TimeTravel.counts(target, at: before).tables == states.tables)
      // From a snapshot a state needs nothing of what has left: this target knows no store of the log.
      let snapshots = StoredSnapshots(ledger.target, [files], warn: { Issue.record("\($0)") })
      let now = try ledger.session().seal()
      let counts = try TimeTravel.counts(ledger.target, at: now, from: snapshots)
      #expect(try counts.tables == TimeTravel.counts(target, at: now).tables)
      #expect((snapshots.given ?? 0) >= 1_000_000)
      #expect(try StoreVerifier(try Store.existing(files)).run().snapshots == 1)
      let mission = try #require(
        ledger.lines("SELECT stream FROM ledger.tombstones WHERE row_type = 'mission'").first
          .flatMap { StreamID($0) })
      expectRefusal(.databaseUnreachable) {
        try MissionRestorer(session, actor: "test").run(mission)
      }
      _ = try MissionRestorer(try Session(target), actor: "test").run(mission)
      #expect(try Verifier.run(target).isEqual)
      // It is a begun ledger still, whose first event is elsewhere.
      try session.requireLedger()
      let again = try Installer.run(ledger.adminSession(), name: "t", actor: "t")
      #expect(again.seeded.isEmpty && !again.isNew)
      // A store that was not there is no place for what has left.
      expectRefusal(.storeDiverged) { try Pusher(session, MemoryStore()).run() }
      #expect(try Self.apply(ledger, files, plan.digest).left == 0)
    }
  }

  @Test("the log's old part leaves a restored database too, and one that was behind its store")
  func partitionsAfterRestore() throws {
    try Self.withOldMissions(2) { ledger, files in
      try ledger.execute("SELECT ledger.adopt_instance(1000005), ledger.add_partitions()")
      try Self.work(ledger, 1, "young")
      let session = try ledger.session()
      _ = try Pusher(session, files).run()
      let plan = try session.retentionPlan().digest
      try TestLedger.withEmptyDatabase { other in
        let target = Session.Target(url: other.adminURL, application: "test")
        _ = try Restorer(target, [files], actor: "test").run()
        try other.execute(TestClock.install)
        try other.moveClock(seconds: 91 * 86_400)
        let report = try Retention(try other.session(), [files], actor: "test").apply(plan: plan)
        #expect(report.partitions == 1 && report.left == 2)
        // The numbers of a restore begin in another partition, which this one ends now.
        _ = try Pusher(try other.session(), files).run()
        _ = try Restorer(
          Session.Target(url: ledger.adminURL, application: "test"), [files],
          actor: "test"
        ).run()
        try ledger.execute(TestClock.install)
        try ledger.moveClock(seconds: 91 * 86_400)
        let next = try session.retentionPlan()
        #expect(next.partitions.count > 1)
        let left = try Self.apply(ledger, files, next.digest).partitions
        #expect(left == next.partitions.count)
        var archived = ledger.target
        archived.archivedLog = StoredLog(files)
        #expect(try Verifier.run(archived).isEqual)
      }
    }
  }

  @Test("a place that lacks what has left is not begun as a store")
  func noEmptyStore() throws {
    try Self.withOldMissions(1) { ledger, files in
      try ledger.execute("SELECT ledger.adopt_instance(1000005), ledger.add_partitions()")
      try Self.work(ledger, 1, "young")
      #expect(try Self.apply(ledger, files).partitions == 1)
      let (session, empty) = (try ledger.session(), MemoryStore())
      expectRefusal(.storeDiverged) { try Pusher(session, empty).run() }
      expectRefusal(.storeDiverged) {
        try Forker(session, into: empty, from: nil, why: "apart", actor: "test").run()
      }
      #expect(try Store.open(empty) == nil)
      let own = try session.ledgerRecord().identity
      // Where a fork's store is lost, the line that it left has the old part still.
      for place in [empty, MemoryStore()] {
        let fork = try Forker(
          try ledger.session(), into: place, from: try Store.existing(files), why: "apart",
          actor: "test"
        ).run()
        #expect(fork.push.lastEntry >= 1_000_006 && fork.parent.identity == own)
        #expect(try StoreVerifier(try Store.existing(place)).run().faults.isEmpty)
      }
    }
  }
}
