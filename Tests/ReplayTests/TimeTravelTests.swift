import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import Replay
import TestLedgers
import TestSupport
import Testing

/// The tables as they were: against copies of them, and against a fold with nothing clever in it.
@Suite(.needsServer)
struct TimeTravelTests {
  @Test(
    "a state equals what the tables were, and the fold of the log up to there",
    arguments: Seeds.some(3))
  func states(seed: UInt64) throws {
    try TestLedger.with { ledger in
      var history = try RandomHistory(ledger, seed: seed)
      try history.play(40)
      let session = try ledger.session()
      let last = try session.seal()
      #expect(try States.at(last, ledger) == States.live(ledger))
      for copy in history.copies where history.below(4) == 0 {
        #expect(try States.at(copy.entry, ledger) == copy.lines, "entry \(copy.entry)")
      }
      for _ in 0..<8 {
        let entry = Int64(history.below(Int(last) + 1))
        let naive = try States.naive(at: entry, ledger)
        #expect(try States.at(entry, ledger) == naive, "entry \(entry)")
        let counts = try TimeTravel.counts(ledger.target, at: entry)
        #expect(counts.tables.values.reduce(0) { $0 + $1.rows } == naive.count)
      }
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("moments as people say them")
  func whens() throws {
    let noon = try #require(Instant("2026-11-24T12:00:00Z"))
    for (text, when) in [
      ("0", When.entry(0)), ("41", .entry(41)), ("2026", .entry(2026)),
      ("2026-11-24T12:00", .time(noon)), ("2026-11-24 14:00:00.000+02:00", .time(noon)),
      ("2026-11-24 12:00:00", .time(noon)), ("2026-11-24", .time(noon.startOfDay)),
      ("-2h", .ago(milliseconds: 7_200_000)), ("-1d12h", .ago(milliseconds: 129_600_000)),
      ("-90s", .ago(milliseconds: 90_000)), ("-5m", .ago(milliseconds: 300_000)),
      ("-500ms", .ago(milliseconds: 500)), ("-2w", .ago(milliseconds: 1_209_600_000)),
    ] {
      #expect(try When(text) == when, "\(text)")
    }
    for text in [
      "", "-", "-2", "-h", "-2y", "-2h-", "2h", "+2h", "1.5", "-1", "99999999999999999999",
      "2026-13-01", "2026-02-30", "2026-11-24T25:00", "yesterday", "٤١", "-9999999999999999d",
      "0x10", "41 ", "2026-11-24T12:00:00Z; DROP TABLE ops_policy",
    ] {
      let error = #expect(throws: OpsError.self, "\(text)") { try When(text) }
      #expect(error?.code == .badInput)
    }
  }

  @Test("a moment is sealed, named, and found by time though the clock runs back")
  func moments() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let session = try ledger.session()
      try ledger.moveClock(seconds: 3600)
      try engine.emit("a:early")
      let leapt = try session.moment(.entry(session.seal()))
      try ledger.moveClock(seconds: -1800)
      try engine.emit("a:later")
      let last = try session.moment(.entry(session.seal()))
      let (early, late) = (try #require(leapt.recordedAt), try #require(last.recordedAt))
      #expect(late < early)
      // The greatest entry recorded at or before it, whatever a leap of the clock put between.
      #expect(try session.moment(.time(late)).entry == last.entry)
      #expect(try session.moment(.time(early)).entry == last.entry)
      #expect(try session.moment(.time(late.adding(milliseconds: -1))).entry < leapt.entry)
      let beyond = #expect(throws: OpsError.self) {
        try session.moment(.entry(last.entry + 1))
      }
      #expect(beyond?.code == .notFound)
      let before = #expect(throws: OpsError.self) {
        try session.moment(.time(Instant(micros: 0)))
      }
      #expect(before?.code == .notFound)
      #expect(try session.moment(.entry(0)).last == nil)
      // A number that was allocated and rolled back.
      try ledger.execute("BEGIN; SELECT ledger.allocate_entry(); ROLLBACK")
      try engine.emit("a:last")
      let gap = try session.moment(.entry(session.seal() - 1))
      #expect((gap.entry, gap.last) == (last.entry + 1, last.entry))
      #expect(try States.at(gap.entry, ledger) == States.at(last.entry, ledger))
    }
  }

  @Test("one mission as it stood, with what belonged to it")
  func mission() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.emit(
        "build:main:failed", .object(["build": .string("m"), "source": .string("ci")]))
      _ = try engine.heartbeat(drain: true)
      let session = try ledger.session()
      let made = try session.seal()
      try engine.work()
      let done = try session.seal()
      let id = try #require(StreamID(ledger.value("SELECT id FROM ops_missions")))
      try ledger.execute("DELETE FROM ops_missions")
      let before = try session.mission(id, at: made)
      #expect(before.mission.status == .approved)
      #expect(before.steps.map(\.status) == [.queued, .queued, .queued])
      #expect(before.steps.map(\.ordinal) == [0, 1, 2])
      #expect(before.runs.isEmpty)
      #expect(before.proposal?.status == .autoApproved)
      let after = try session.mission(id, at: done)
      #expect(after.mission.status == .succeeded)
      #expect(after.runs.map(\.status) == [.succeeded, .succeeded, .succeeded])
      for entry in [1, try session.seal()] {
        let error = #expect(throws: OpsError.self) { try session.mission(id, at: entry) }
        #expect(error?.code == .notFound)
      }
    }
  }

  @Test("a state is left in a schema, whole or not at all")
  func into() throws {
    try TestLedger.with { ledger in
      var history = try RandomHistory(ledger, seed: 7)
      try history.play(20)
      let copy = history.copies[12]
      let admin = Session.Target(url: ledger.adminURL)
      let rows = try TimeTravel.write(admin, at: copy.entry, into: "Before \"it\"")
      #expect(rows.values.reduce(0, +) == copy.lines.count)
      let lines = try ledger.lines(States.sql.replacingTables(in: #""Before ""it""""#))
      #expect(lines == copy.lines)
      #expect(try ledger.count("pg_tables WHERE schemaname = 'Before \"it\"'") == 8)
      try ledger.execute("CREATE SCHEMA mine; CREATE FUNCTION mine.f() RETURNS int RETURN 1")
      for (schema, code) in [
        ("Before \"it\"", OpsError.Code.conflict), ("mine", .conflict), ("public", .notAllowed),
        ("ledger", .notAllowed), ("ledger_guard", .notAllowed), ("pg_temp", .notAllowed),
        ("pg_x", .notAllowed), ("information_schema", .notAllowed), ("", .badInput),
        (String(repeating: "x", count: 64), .badInput),
      ] {
        let error = #expect(throws: OpsError.self, "\(schema)") {
          try TimeTravel.write(admin, at: copy.entry, into: schema)
        }
        #expect(error?.code == code, "\(schema)")
      }
      // The engine's login may make none, and may fill one that is empty and its own role's.
      let refused = #expect(throws: OpsError.self) {
        try TimeTravel.write(ledger.target, at: copy.entry, into: "engines")
      }
      #expect(refused?.code == .notAllowed)
      try ledger.execute("CREATE SCHEMA engines AUTHORIZATION opsledger_tables")
      _ = try TimeTravel.write(ledger.target, at: copy.entry, into: "engines")
      try ledger.execute("CREATE SCHEMA others")
      let others = #expect(throws: OpsError.self) {
        try TimeTravel.write(ledger.target, at: copy.entry, into: "others")
      }
      #expect(others?.code == .notAllowed)
      #expect(try ledger.verify().isEqual)
    }
  }
}

extension String {
  /// The tables of the state's SQL in another schema than the session's.
  fileprivate func replacingTables(in schema: String) -> String {
    replacing(" FROM ops_", with: " FROM \(schema).ops_")
  }
}
