import Archive
import Crypto
import Ledger
import Log
import OpsLoop
import Replay
import TestLedgers
import TestSupport
import Testing

/// Everything that reads history reads it alike where a part of the log has left the database.
@Suite(.enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct ArchivedLogTests {
  /// Missions in three partitions of the log, with hands' rows that came, changed and went in each.
  private static func withThreePartitions(
    _ body: (TestLedger, MemoryStore) throws -> Void
  ) throws {
    try TestLedger.with { ledger in
      for part in 0..<3 {
        let key = "mine-\(part)"
        try ledger.execute("INSERT INTO ops_policy (key, value) VALUES ('\(key)', '\(part)')")
        try ledger.execute("INSERT INTO ops_policy (key, value) VALUES ('\(key)-stays', '0')")
        try work(ledger, 3)
        try ledger.execute("UPDATE ops_policy SET value = '9' WHERE key LIKE 'mine%stays'")
        try ledger.execute("DELETE FROM ops_policy WHERE key = '\(key)'")
        if part < 2 {
          try ledger.execute(
            "SELECT ledger.adopt_instance(\((part + 1) * 1_000_000 + 5)), ledger.add_partitions()")
        }
      }
      let files = MemoryStore()
      _ = try Pusher(try ledger.session(), files).run()
      try body(ledger, files)
    }
  }

  private static func work(_ ledger: TestLedger, _ count: Int) throws {
    let engine = try ledger.engine()
    for number in 0..<count {
      _ = try engine.emit(
        AgentEvent.Report(
          type: "scout:find", data: #"{"summary": "a \"find\" \#(number)", "source": "scout"}"#))
    }
    _ = try engine.heartbeat(drain: true) { _ in }
    _ = try Worker(
      engine, Worker.Options(name: "host-1"), shouldStop: { false }, report: { _ in }
    ).run()
  }

  private static func drop(_ ledger: TestLedger, _ files: MemoryStore, part: Int) throws {
    let list = try Store.existing(files).segments()
    let last = Int64(part + 1) * 1_000_000 - 1
    let segment = try #require(list.segments.first { $0.name.entries.upperBound == last })
    let index = try SegmentReader(files, segment.file).index
    try ledger.execute(
      """
      SELECT ledger.drop_partition(\(part * 1_000_000), '\(segment.name.path)',
        \(index.eventCount), '\\x\(index.root.hex)', 'test')
      """)
  }

  private static func target(_ ledger: TestLedger, _ files: MemoryStore) -> Session.Target {
    var target = ledger.target
    target.archivedLog = StoredLog(files)
    return target
  }

  /// All that is asked of history, as text.
  private static func answers(_ target: Session.Target, _ entries: [Int64]) throws -> [String] {
    let session = try Session(target)
    var answers: [String] = []
    func add(_ name: String, _ answer: Any) { answers.append("\(name): \(answer)") }
    let report = try Verifier.run(target)
    add("verify", (report.isEqual, report.events, report.entry, report.differences))
    for entry in entries {
      let counts = try TimeTravel.counts(target, at: entry)
      let tables = counts.tables.map {
        "\($0) \($1.rows) \($1.statuses.sorted { $0.key < $1.key })"
      }
      add("state at \(entry)", (counts.events, tables.sorted()))
      add("moment \(entry)", try session.moment(.entry(entry)))
      if let time = try session.moment(.entry(entry)).recordedAt {
        add("moment at its time", try session.moment(.time(time)))
      }
    }
    for (from, to) in zip(entries, entries.dropFirst(2)) {
      let diff = try TimeTravel.diff(target, from: from, to: to, limit: 1000)
      add(
        "diff \(from) \(to)",
        (
          diff.events,
          diff.rows.map { "\($0.table) \($0.key) \($0.columns) \($0.events) \($0.eventCount)" }
        ))
    }
    for mission in try session.list(.missions(status: nil, limit: 100)) {
      let history = try session.history(ofMission: mission.id)
      add("history", (history.origin as Any, history.events))
      let middle = entries[entries.count / 2]
      add("mission", (try? session.mission(mission.id, at: middle)) as Any)
    }
    for (limit, keeps) in [(7, LogQuery.Keeps.first), (1000, .first), (5, .last), (5000, .last)] {
      var query = LogQuery(limit: limit, keeps: keeps)
      try session.log(query) { answers.append("\($0)") }
      query.type = "step.*"
      try session.log(query) { answers.append("\($0)") }
      query.type = nil
      query.stream = .policy("mine-0-stays")
      try session.log(query) { answers.append("\($0)") }
      query.stream = nil
      query.entries = entries[1]...entries[entries.count - 2]
      try session.log(query) { answers.append("\($0)") }
    }
    add("policy", try session.policyHistory("mine-0-stays", limit: 10))
    add(
      "bisect",
      try TimeTravel.bisect(
        "SELECT count(*) > 4 FROM ops_missions", target, from: entries[0],
        to: entries[entries.count - 1]))
    return answers
  }

  @Test("a stream's hash is PostgreSQL's", arguments: Seeds.some(2))
  func hashes(_ seed: UInt64) throws {
    try TestLedger.with { ledger in
      var generator = Generator(seed: seed)
      let ids = (0..<20_000).map { _ in
        StreamID(high: generator.next(), low: generator.next())
      }
      let list = ids.map { "'\($0)'::uuid" }.joined(separator: ",")
      let hashes = try ledger.lines(
        "SELECT uuid_hash(v) FROM unnest(ARRAY[\(list)]) WITH ORDINALITY AS u(v, n) ORDER BY n")
      for (id, hash) in zip(ids, hashes) {
        #expect(Int32(hash) == Int32(bitPattern: id.hashInPostgres))
      }
    }
  }

  @Test("streams are in PostgreSQL's order", arguments: Seeds.some(2))
  func order(_ seed: UInt64) throws {
    try TestLedger.with { ledger in
      var generator = Generator(seed: seed)
      // Many begin alike, so that the second half decides.
      let ids = (0..<5000).map { _ in
        StreamID(high: generator.next() & 0x8000_0000_0000_0003, low: generator.next())
      }
      let list = ids.map { "'\($0)'::uuid" }.joined(separator: ",")
      let sorted = try ledger.lines("SELECT v FROM unnest(ARRAY[\(list)]) AS u(v) ORDER BY v")
      #expect(ids.sorted().map(\.description) == sorted)
      let (first, end) = (ids[0], ids[1])
      let wanted = ArchivedQuery.Streams.range(from: min(first, end), to: max(first, end))
      #expect(
        ids.filter(wanted.contains).count
          == (try ledger.count(
            "unnest(ARRAY[\(list)]) AS u(v) WHERE v >= '\(min(first, end))' AND v < '\(max(first, end))'"
          )))
    }
  }

  @Test("whatever is asked, the answer is the same before and after partitions left")
  func alike() throws {
    try Self.withThreePartitions { ledger, files in
      let all = try ledger.lines("SELECT DISTINCT entry FROM ledger.events ORDER BY entry")
        .compactMap { Int64($0) }
      let entries =
        stride(from: 0, to: all.count, by: all.count / 9).map { all[$0] } + [all[all.count - 1]]
      let before = try Self.answers(ledger.target, entries)
      let policies = try ledger.lines("SELECT * FROM ops_policy_history ORDER BY key, version")
      for part in 0..<2 {
        try Self.drop(ledger, files, part: part)
        let after = try Self.answers(Self.target(ledger, files), entries)
        for (old, new) in zip(before, after) { #expect(old == new) }
        #expect(before.count == after.count)
        let now = try ledger.lines("SELECT * FROM ops_policy_history ORDER BY key, version")
        #expect(now == policies)
      }
      #expect(try ledger.count("ledger.archived_partitions") == 2)
    }
  }

  @Test("without a store what needs one says which file is missing, and the loop goes on")
  func storeless() throws {
    try Self.withThreePartitions { ledger, files in
      let mission = try #require(
        try ledger.session().list(.missions(status: nil, limit: 100)).last)
      let all = try ledger.count("ledger.events")
      try Self.drop(ledger, files, part: 0)
      let session = try ledger.session()
      func refused(_ code: OpsError.Code, _ body: () throws(OpsError) -> Void) {
        do throws(OpsError) {
          try body()
          Issue.record("a part of the log was silently left out")
        } catch {
          #expect(error.code == code, "\(error.message)")
          if code == .databaseUnreachable {
            #expect(
              error.message.contains("segments/00000000000000000001-00000000000000999999.lz4"))
          }
        }
      }
      refused(.databaseUnreachable) { () throws(OpsError) in _ = try Verifier.run(ledger.target) }
      refused(.databaseUnreachable) { () throws(OpsError) in
        _ = try TimeTravel.counts(ledger.target, at: 1_000_020)
      }
      refused(.databaseUnreachable) { () throws(OpsError) in
        _ = try session.history(ofMission: mission.id)
      }
      refused(.databaseUnreachable) { () throws(OpsError) in
        try session.log(LogQuery(limit: 1, keeps: .first)) { _ in }
      }
      var tail: [LoggedEvent] = []
      try session.log(LogQuery(limit: 5, keeps: .last)) { tail.append($0) }
      #expect(tail.count == 5)
      // Another ledger's store, and one that ends before.
      let (foreign, target) = (MemoryStore(), Self.target)
      try TestLedger.with { other in
        _ = try Pusher(try other.session(), foreign).run()
      }
      refused(.storeDiverged) { () throws(OpsError) in
        _ = try Verifier.run(target(ledger, foreign))
      }
      try Self.work(ledger, 2)
      #expect(try Pusher(try ledger.session(), files).run().events > 0)
      let report = try Verifier.run(Self.target(ledger, files))
      #expect(report.isEqual && report.events > all, "\(report.differences)")
    }
  }

  @Test("tables and tombstones are made again from hot and cold; a restore brings all of it back")
  func rebuilding() throws {
    try Self.withThreePartitions { ledger, files in
      let whole = try ledger.lines("SELECT e::text FROM ledger.events AS e ORDER BY entry, index")
      try Self.drop(ledger, files, part: 0)
      try Self.drop(ledger, files, part: 1)
      let target = Self.target(ledger, files)
      let missions = try ledger.lines("SELECT * FROM ops_missions ORDER BY id")
      for sql in [
        "DELETE FROM ops_missions WHERE id IN (SELECT id FROM ops_missions ORDER BY id LIMIT 3)",
        "TRUNCATE \(Self.tables)",
      ] {
        try ledger.executeOffTheRecord(sql)
        #expect(try !Verifier.run(target).isEqual)
        #expect(try Rebuilder.run(target, actor: "test", checkOnly: false).outcome == .rebuilt)
        let report = try Verifier.run(target)
        #expect(report.isEqual, "\(report.differences)")
        let now = try ledger.lines("SELECT * FROM ops_missions ORDER BY id")
        #expect(now == missions)
      }
      _ = try Pusher(try ledger.session(), files).run()
      let admin = Session.Target(url: ledger.adminURL)
      var restoring = admin
      restoring.archivedLog = StoredLog(files)
      #expect(try Restorer(restoring, [files], actor: "test").run().outcome == .nothingToDo)
      #expect(try ledger.count("ledger.events WHERE entry < 2000000") == 0)
      try TestLedger.withEmptyDatabase { other in
        let fresh = Session.Target(url: other.adminURL)
        #expect(try Restorer(fresh, [files], actor: "test").run().outcome == .restored)
        let restored = try other.lines(
          "SELECT e::text FROM ledger.events AS e ORDER BY entry, index LIMIT \(whole.count)")
        #expect(restored == whole)
        #expect(try other.verify().isEqual)
      }
    }
  }

  private static let tables =
    "ops_policy, ops_mission_proposals, ops_missions, ops_mission_steps, ops_agent_events, "
    + "ops_agent_reactions, ops_action_runs, ops_demand_radar"

  @Test("a store alone tells a mission's history as the database does")
  func offline() throws {
    try Self.withThreePartitions { ledger, files in
      for mission in try ledger.session().list(.missions(status: nil, limit: 100)) {
        let log = StoredLog(files)
        let offline = try MissionHistory(ofMission: mission.id, in: log)
        let online = try ledger.session().history(ofMission: mission.id)
        #expect(offline.events == online.events && offline.origin == online.origin)
      }
      expectRefusal(.notFound) {
        try MissionHistory(ofMission: StreamID(high: 1, low: 2), in: StoredLog(files))
      }
    }
  }
}
