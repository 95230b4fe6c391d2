import Archive
import Ledger
import Log
import OpsLoop
import TestLedgers
import TestSupport
import Testing

/// Retention, erasures and `archive restore` say the same of each mission, and what ``HoldOracle`` says.
@Suite(
  "What a hold keeps", .enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct HoldAgreementTests {
  /// So many ledgers: `tools/proof/holds` asks for more.
  static let seeds = Seeds.some(Seeds.environment("OPS_TEST_HOLD_LEDGERS").flatMap { Int($0) } ?? 4)

  @Test("whoever asks, the same missions are held", arguments: seeds)
  func agree(seed: UInt64) throws {
    try TestLedger.withSlowClock { ledger in
      var game = try HoldGame(ledger, seed)
      try game.play()
      try game.compare()
      try game.archive()
      try game.placeHolds()
      try game.compare()
      try game.restore()
      try game.compare()
    }
  }

  // MARK: One case for each difference that there was

  /// A mission that an agent event of source `scout` led to, and one that the first one's success led to.
  private static func chain(
    _ body: (inout HoldGame, TestLedger, _ first: StreamID, _ next: StreamID) throws -> Void
  ) throws {
    try TestLedger.withSlowClock { ledger in
      var game = try HoldGame(ledger, 1, chains: true)
      try game.emit(source: "scout", kind: "once")
      try game.work()
      try ledger.moveClock(seconds: 86_400)
      func mission(_ title: String) throws -> StreamID {
        try #require(
          StreamID(
            ledger.value(
              """
              SELECT m.id FROM ops_missions AS m JOIN ops_mission_proposals AS p ON p.id = m.proposal_id
              WHERE p.template ->> 'title' = '\(title)'
              """)))
      }
      try body(&game, ledger, mission("once"), mission("next"))
    }
  }

  @Test("a source's hold keeps what came of its events through another mission, too")
  func throughAnother() throws {
    try Self.chain { game, ledger, first, next in
      _ = try ledger.engine().placeHold(.source("scout"), why: "a case")
      #expect(try Set(game.plan().held.map(\.mission)) == [first, next])
      #expect(try game.holdRefuses(erasing: first) && game.holdRefuses(erasing: next))
    }
  }

  @Test(
    "a source's hold keeps what its events led to, also where a manual change changed the source since"
  )
  func renamedSource() throws {
    try Self.chain { game, ledger, first, next in
      try ledger.execute(
        "UPDATE ops_agent_events SET data = data || '{\"source\": \"other\"}' WHERE data ? 'source'"
      )
      let engine = try ledger.engine()
      for source in ["scout", "other"] {
        let hold = try engine.placeHold(.source(source), why: "a case")
        #expect(try Set(game.plan().held.map(\.mission)) == [first, next], "\(source)")
        #expect(try game.holdRefuses(erasing: first) && game.holdRefuses(erasing: next))
        _ = try engine.releaseHold(hold, why: "over")
      }
    }
  }

  @Test("a time's hold keeps a mission that was open then, whether its row says so or the log does")
  func times() throws {
    try Self.chain { game, ledger, first, next in
      let engine = try ledger.engine()
      func day(_ text: String) throws -> Instant { try #require(Instant(text)) }
      try ledger.execute(
        "UPDATE ops_missions SET created_at = '2001-01-01Z' WHERE id = '\(first)'")
      let hold = try engine.placeHold(
        .time(from: day("2001-03-01"), until: day("2001-04-01")), why: "as its row has it")
      #expect(try game.plan().held.map(\.mission) == [first])
      #expect(try game.holdRefuses(erasing: first))
      _ = try engine.releaseHold(hold, why: "over")
      try ledger.execute(
        "UPDATE ops_missions SET completed_at = '2001-02-01Z' WHERE id = '\(first)'")
      let now = try ledger.session().now()
      _ = try engine.placeHold(
        .time(from: now.adding(seconds: -172_800), until: now), why: "as it was recorded")
      #expect(try Set(game.plan().held.map(\.mission)) == [first, next])
      #expect(try game.holdRefuses(erasing: first))
    }
  }

  @Test(
    "a mission was not open when it left, and whoever brings it back is told which hold keeps it")
  func archived() throws {
    try Self.chain { game, ledger, first, next in
      let engine = try ledger.engine()
      try ledger.moveClock(seconds: 100 * 86_400)
      let before = try ledger.session().now().adding(seconds: -86_400)
      try game.archive()
      let after = try ledger.session().now().adding(seconds: 86_400)
      let hold = try engine.placeHold(.time(from: before, until: after), why: "when it left")
      #expect(try !game.holdRefuses(erasing: first))
      _ = try engine.releaseHold(hold, why: "over")
      let named = try engine.placeHold(.mission(next), why: "a case")
      let restorer = MissionRestorer(try game.session(), actor: "test")
      // The last one that left comes back first, as its rows refer to those of no earlier one.
      for mission in [first, next].sorted(by: >) {
        #expect(try restorer.run(mission).hold == (mission == next ? named : nil))
      }
      #expect(try game.plan().held.map(\.mission) == [next])
      // The other has a copy of what this one said.
      #expect(try game.holdRefuses(erasing: first))
    }
  }
}
