import JSON
import Ledger
import Log
import OpsLoop
import Replay
import TestLedgers
import TestSupport
import Testing

/// What changed between two moments, and when something became true.
@Suite(.needsServer)
struct StateDiffTests {
  @Test("a diff names the rows that differ, and no others", arguments: Seeds.some(2))
  func diff(seed: UInt64) throws {
    try TestLedger.with { ledger in
      var history = try RandomHistory(ledger, seed: seed)
      try history.play(30)
      for _ in 0..<8 {
        let places = [history.below(30), history.below(30)].sorted()
        let (a, b) = (history.copies[places[0]], history.copies[places[1]])
        let diff = try TimeTravel.diff(ledger.target, from: a.entry, to: b.entry, limit: 10_000)
        // A table and a key, then the rest of the row.
        func rows(_ lines: [String]) -> [String: String] {
          Dictionary(
            lines.map { line in
              let parts = line.split(separator: "|", maxSplits: 2, omittingEmptySubsequences: false)
              return (parts[0] + " " + parts[1], String(parts[2]))
            }, uniquingKeysWith: { a, _ in a })
        }
        let (before, after) = (rows(a.lines), rows(b.lines))
        var expected: [String: String] = [:]
        for (key, line) in before where after[key] != line {
          expected[key] = after[key] == nil ? "removed" : "changed"
        }
        for key in after.keys where before[key] == nil { expected[key] = "inserted" }
        let found = Dictionary(
          diff.rows.map { ("\($0.table) \($0.key.printed ?? "")", $0.kind.rawValue) },
          uniquingKeysWith: { a, _ in a })
        #expect(found == expected, "\(a.entry) to \(b.entry)")
        #expect(diff.leftOut == 0)
        for row in diff.rows {
          #expect(!row.events.isEmpty)
          #expect(row.events.allSatisfy { $0.stream == row.stream && $0.entry > a.entry })
        }
        let few = try TimeTravel.diff(ledger.target, from: a.entry, to: b.entry, limit: 3)
        #expect(few.rows.map(\.stream) == diff.rows.prefix(3).map(\.stream))
        #expect(few.rowCount == diff.rowCount)
        #expect(few.leftOut == max(0, diff.rowCount - 3))
      }
    }
  }

  @Test("a changed row is shown by its columns, from what to what, and many events are counted")
  func columns() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set("counter", "0")
      let session = try ledger.session()
      let from = try session.seal()
      for number in 1...30 { try engine.set("counter", "\(number)") }
      let diff = try TimeTravel.diff(ledger.target, from: from, to: try session.seal(), limit: 10)
      let row = try #require(diff.rows.first)
      #expect(diff.rowCount == 1)
      #expect(row.columns.map(\.name) == ["value", "version", "updated_at"])
      #expect(row.columns.first?.from.printed == "0")
      #expect(row.columns.first?.to.printed == "30")
      #expect(row.eventCount == 30)
      #expect(row.events.map(\.version) == Array(2...21))
      #expect(diff.events == 30)
    }
  }

  @Test(
    "bisect finds what a search of every entry finds, within its states", arguments: Seeds.some(2))
  func bisect(seed: UInt64) throws {
    try TestLedger.with { ledger in
      var history = try RandomHistory(ledger, seed: seed)
      try history.play(25)
      let session = try ledger.session()
      let last = try session.seal()
      let entries = try ledger.lines("SELECT DISTINCT entry FROM ledger.events ORDER BY 1")
        .compactMap { Int64($0) }
      // Answers that only ever change from false to true.
      for sql in [
        "SELECT count(*) >= 3 FROM ops_policy_history WHERE key <> 'mine'",
        "SELECT max(version) > 2 FROM ops_policy WHERE key = 'counter'",
        "SELECT true FROM ops_demand_radar WHERE stage = 'shipped' LIMIT 1",
        "SELECT count(*) > 0 FROM ops_missions", "SELECT count(*) > 4 FROM ops_policy",
      ] {
        func answer(_ entry: Int64) throws -> Bool {
          try States.query(sql, at: entry, ledger) == ["t"]
        }
        guard try answer(last) else {
          let error = #expect(throws: OpsError.self) {
            try TimeTravel.bisect(sql, ledger.target, from: 0, to: last)
          }
          #expect(error?.code == .notFound)
          continue
        }
        let found = try TimeTravel.bisect(sql, ledger.target, from: 0, to: last)
        let place = try #require(entries.firstIndex(of: found.entry))
        #expect(try answer(found.entry), "\(sql)")
        #expect(try !answer(place == 0 ? 0 : entries[place - 1]), "\(sql)")
        let first = try entries.first { try answer($0) }
        if sql.contains("history") { #expect(first == found.entry) }
        let most = 2 * log2(entries.count) + 5
        #expect(found.statesBuilt <= most, "\(found.statesBuilt) states of \(entries.count)")
        #expect(found.before == (place == 0 ? 0 : entries[place - 1]), "\(sql)")
        if found.isFirst { #expect(first == found.entry, "\(sql)") }
        let really = try TimeTravel.bisect(sql, ledger.target, from: 0, to: last, first: true)
        #expect(really.entry == first, "\(sql)")
        #expect(really.isFirst, "\(sql)")
      }
    }
  }

  /// Rounded down.
  private func log2(_ number: Int) -> Int { Int.bitWidth - 1 - number.leadingZeroBitCount }

  @Test("bisect refuses what is no question with one turn")
  func refusals() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      for number in 0..<4 { try engine.emit("a:\(number)") }
      let last = try ledger.session().seal()
      for (sql, code) in [
        ("SELECT true", OpsError.Code.notFound), ("SELECT false", .notFound),
        ("SELECT NULL::boolean", .notFound), ("SELECT 1", .badInput),
        ("SELECT true, true", .badInput), ("SELECT 't'", .badInput),
        ("SELECT true FROM ops_agent_events", .badInput),
        ("DELETE FROM ops_agent_events RETURNING true", .notAllowed),
        ("SELECT true FROM public.ops_agent_events", .badInput),
      ] {
        let error = #expect(throws: OpsError.self, "\(sql)") {
          try TimeTravel.bisect(sql, ledger.target, from: 0, to: last)
        }
        #expect(error?.code == code, "\(sql): \(error?.message ?? "")")
      }
      let backwards = #expect(throws: OpsError.self) {
        try TimeTravel.bisect("SELECT true", ledger.target, from: last, to: 1)
      }
      #expect(backwards?.code == .badInput)
      let one = try TimeTravel.bisect(
        "SELECT count(*) = 4 FROM ops_agent_events", ledger.target, from: last - 1, to: last)
      #expect(one == Bisection(entry: last, before: last - 1, isFirst: true, statesBuilt: 2))
    }
  }
}
