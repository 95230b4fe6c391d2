import Archive
import Ledger
import Log
import OpsLoop
import Replay
import Synchronization
import TestLedgers
import TestSupport
import Testing

/// States from snapshots, against states from the log.
@Suite(.enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct SnapshotTests {
  /// Collects warnings.
  private final class Warnings: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }
  }

  private static func snapshots(
    _ ledger: TestLedger, _ files: any ObjectStore, _ warnings: Warnings = Warnings()
  ) -> StoredSnapshots {
    StoredSnapshots(ledger.target, [files], warn: { warnings.add($0) })
  }

  private static func make(
    _ ledger: TestLedger, _ files: any ObjectStore
  ) throws -> SnapshotReport {
    try SnapshotMaker(try ledger.session(), files).run()
  }

  @Test(
    "a fold goes on from a snapshot as if it had begun with the first event",
    arguments: Seeds.some(3))
  func goesOn(seed: UInt64) throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      var history = try RandomHistory(ledger, seed: seed)
      var made: [Int64] = []
      for _ in 0..<4 {
        try history.play(12)
        made.append(try Self.make(ledger, files).index.name.entry)
      }
      try history.play(12)
      // One in the middle of a segment, of what is long past.
      let middle = history.copies[29].entry
      made.append(
        try SnapshotMaker(try ledger.session(), files).run(at: middle).index.name.entry)
      made.sort()
      let first = try #require(made.first)
      for copy in history.copies {
        let snapshots = Self.snapshots(ledger, files)
        #expect(try States.at(copy.entry, ledger, from: snapshots) == copy.lines)
        #expect(snapshots.given == made.last { $0 <= copy.entry })
        guard copy.entry >= first, history.below(3) == 0 else { continue }
        let counts = try TimeTravel.counts(ledger.target, at: copy.entry, from: snapshots)
        #expect(try counts.tables == TimeTravel.counts(ledger.target, at: copy.entry).tables)
        // Some columns of the lines, and of the rows that are folded on.
        let sql =
          "SELECT coalesce(last_error, '') || status || version FROM ops_mission_steps ORDER BY 1"
        let some = try States.query(sql, at: copy.entry, ledger, from: snapshots)
        #expect(try States.query(sql, at: copy.entry, ledger) == some)
      }
      for _ in 0..<6 {
        let places = [history.below(60), history.below(60)].sorted()
        let (a, b) = (history.copies[places[0]].entry, history.copies[places[1]].entry)
        let snapshots = Self.snapshots(ledger, files)
        let found = try TimeTravel.diff(
          ledger.target, from: a, to: b, limit: 1000, snapshots: snapshots)
        let expected = try TimeTravel.diff(ledger.target, from: a, to: b, limit: 1000)
        #expect(found.counts == expected.counts && found.events == expected.events)
        #expect(found.rows.map(\.stream) == expected.rows.map(\.stream))
        #expect(
          found.rows.map { $0.columns.map(\.name) } == expected.rows.map { $0.columns.map(\.name) })
        #expect(found.rows.map(\.eventCount) == expected.rows.map(\.eventCount))
      }
      let last = try ledger.session().seal()
      for sql in [
        "SELECT count(*) > 5 FROM ops_agent_events", "SELECT count(*) > 2 FROM ops_demand_radar",
        "SELECT count(*) > 0 FROM ops_step_dead_letters",
      ] {
        let snapshots = Self.snapshots(ledger, files)
        let found = try? TimeTravel.bisect(
          sql, ledger.target, from: 0, to: last, snapshots: snapshots)
        let expected = try? TimeTravel.bisect(sql, ledger.target, from: 0, to: last)
        #expect(found == expected, "\(sql)")
      }
      let report = try StoreVerifier(try Store.existing(files)).run()
      #expect(report.faults == [] && report.snapshots == Set(made).count)
    }
  }

  @Test("a row that is put in again goes on from the version that the snapshot keeps of it")
  func again() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      let mine = "INSERT INTO ops_policy (key, value) VALUES ('mine', '1')"
      try ledger.execute(mine)
      try ledger.execute("DELETE FROM ops_policy WHERE key = 'mine'")
      let snapshot = try Self.make(ledger, files).index
      #expect(snapshot.run(SnapshotIndex.gone)?.lines == 1)
      try ledger.execute(mine)
      let entry = try ledger.session().seal()
      let snapshots = Self.snapshots(ledger, files)
      #expect(try States.at(entry, ledger, from: snapshots) == States.live(ledger))
      #expect(
        try States.query(
          "SELECT version FROM ops_policy WHERE key = 'mine'", at: entry, ledger, from: snapshots)
          == ["3"])
      #expect(
        try TimeTravel.counts(ledger.target, at: entry, from: snapshots).tables
          == TimeTravel.counts(ledger.target, at: entry).tables)
      let diff = try TimeTravel.diff(
        ledger.target, from: snapshot.name.entry, to: entry, limit: 9, snapshots: snapshots)
      #expect(diff.rows.map(\.kind) == [.inserted])
      let found = try TimeTravel.bisect(
        "SELECT count(*) = 1 FROM ops_policy WHERE key = 'mine'", ledger.target,
        from: snapshot.name.entry, to: entry, snapshots: snapshots)
      #expect(found.entry == entry && snapshots.given == snapshot.name.entry)
    }
  }

  @Test("a query is given the tables that it reads, also through views and functions")
  func named() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      var history = try RandomHistory(ledger, seed: 7)
      try history.play(30)
      let entry = try Self.make(ledger, files).index.name.entry
      try history.play(10)
      try ledger.execute(
        """
        CREATE FUNCTION public.counted() RETURNS bigint LANGUAGE plpgsql AS
          $$ BEGIN RETURN (SELECT count(*) FROM ops_agent_events); END $$;
        GRANT EXECUTE ON FUNCTION public.counted() TO PUBLIC
        """)
      let expected = try TimeTravel.counts(ledger.target, at: entry).tables
      let events = String(try #require(expected["ops_agent_events"]).rows)
      let steps = String(try #require(expected["ops_mission_steps"]).rows)
      for snapshots in [nil, Self.snapshots(ledger, files)] as [StoredSnapshots?] {
        func ask(_ sql: String) throws -> [String] {
          try States.query(sql, at: entry, ledger, from: snapshots)
        }
        #expect(try ask("SELECT count(*) FROM ops_agent_events") == [events])
        #expect(try ask("SELECT public.counted()") == [events])
        #expect(try ask("SELECT public.counted() FROM ops_policy LIMIT 1") == [events])
        #expect(
          try ask("WITH s AS (SELECT * FROM ops_mission_steps) SELECT count(*) FROM s") == [steps])
        #expect(
          try ask(
            "SELECT (xpath('//n/text()', query_to_xml('SELECT count(*) AS n FROM ops_agent_events', true, false, '')))[1]"
          )
            == [events])
        #expect(try ask("VALUES (1)") == ["1"])
        // Through a view over steps and runs.
        let dead = try ask("SELECT count(*) FROM ops_step_dead_letters")
        let all = try ask(
          "SELECT count(*) FROM ops_step_dead_letters WHERE (SELECT count(*) FROM ops_missions) >= 0"
        )
        #expect(dead == all)
        #expect(try ask("TABLE ops_policy_history").count > 0)
      }
    }
  }

  @Test("what is damaged is named, and an older one or the log is used instead")
  func damaged() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      var history = try RandomHistory(ledger, seed: 3)
      try history.play(15)
      let older = try Self.make(ledger, files).index.name
      try history.play(10)
      let newer = try Self.make(ledger, files)
      try history.play(5)
      let last = try #require(history.copies.last)
      let path = newer.index.name.path
      let sound = try #require(files[path])
      for at in stride(from: 0, to: sound.count, by: max(1, sound.count / 25)) {
        var bytes = sound
        bytes[at] ^= 4
        files[path] = bytes
        let found = try StoreVerifier(try Store.existing(files)).run()
        #expect(
          found.faults.count == 1 && found.faults.first?.contains(path) ?? false, "byte \(at)")
        let warnings = Warnings()
        let snapshots = Self.snapshots(ledger, files, warnings)
        #expect(try States.at(last.entry, ledger, from: snapshots) == last.lines)
        // A frame of the pieces that nothing reads may be damaged.
        #expect(snapshots.given == older.entry ? warnings.all.count == 1 : true)
      }
      files[path] = Array(sound.dropLast(1))
      files[older.path] = []
      let warnings = Warnings()
      let snapshots = Self.snapshots(ledger, files, warnings)
      #expect(try States.at(last.entry, ledger, from: snapshots) == last.lines)
      #expect(snapshots.given == nil && warnings.all.count == 2)
      #expect(try StoreVerifier(try Store.existing(files)).run().faults.count == 2)
    }
  }

  @Test("wrong rows under right hashes are found by the segments")
  func wrongRows() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      var history = try RandomHistory(ledger, seed: 5)
      try history.play(15)
      let entry = try Self.make(ledger, files).index.name.entry
      try history.play(5)
      let later = try Self.make(ledger, files).index
      // A snapshot of other rows, written as one of this entry.
      let name = SnapshotName(entry)
      files[name.path] = nil
      let writer = try SnapshotWriter(files, name, identity: later.identity)
      let reader = try SnapshotReader(
        files, try #require(try files.list(later.name.path).first))
      for run in later.runs {
        try writer.begin(run.name, columns: run.columns)
        try reader.lines(of: run) { line throws(OpsError) in
          var piece = RowLines.Piece()
          piece.text = Array(line)
          piece.streams = [later.identity]
          try writer.write(piece)
        }
      }
      _ = try writer.finish(size: later.size, root: later.root, lastLeaf: later.lastLeaf)
      let faults = try StoreVerifier(try Store.existing(files)).run().faults
      #expect(!faults.isEmpty && faults.allSatisfy { $0.contains(name.path) })
    }
  }

  @Test("a snapshot of another history is passed over")
  func otherHistory() throws {
    try TestLedger.with { ledger in
      // Nobody may be connected to what is copied.
      for _ in 0..<5 {
        try ledger.execute("INSERT INTO ops_policy (key, value) SELECT gen_random_uuid(), '1'")
      }
      try ledger.withCopy { copy in
        try copy.execute("SELECT ledger.adopt_instance(1048576)")
        let files = MemoryStore()
        let engine = try ledger.engine()
        _ = try engine.emit(AgentEvent.Report(type: "a:b", data: "{}"))
        _ = try Self.make(ledger, files)
        _ = try copy.engine().emit(AgentEvent.Report(type: "a:b", data: "{}"))
        let entry = try copy.session().seal()
        let warnings = Warnings()
        let snapshots = Self.snapshots(copy, files, warnings)
        #expect(try States.at(entry, copy, from: snapshots) == States.live(copy))
        #expect(warnings.all.count == 1 && snapshots.given == nil)
      }
    }
  }
}
