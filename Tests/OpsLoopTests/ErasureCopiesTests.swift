import JSON
import Ledger
import Log
import Postgres
import Replay
import TestLedgers
import Testing

@testable import OpsLoop

/// Copies that other missions, people and the server itself made of what is erased.
@Suite("Copies of what is erased", .needsServer)
struct ErasureCopiesTests {
  static let secret = ErasingTests.secret

  /// A radar item whose title is the secret; another mission that lists the radar; and a third whose template repeats
  /// what the loop reported of the list.
  static func listed(_ ledger: TestLedger, _ engine: Engine) throws -> (
    source: StreamID, lister: StreamID, quoter: StreamID
  ) {
    try engine.set(
      "reaction_matrix",
      #"""
      {"patterns": [
        {"id": "find", "event_type": "scout:find", "template": {"title": "Look", "risk_level": "low", "steps": [
          {"kind": "radar", "params": {"action": "add", "params": {"title": "{{ event.data.summary }}"}}}]}},
        {"id": "list", "event_type": "scout:list", "template": {"title": "List", "risk_level": "low", "steps": [
          {"kind": "radar", "params": {"action": "list"}}, {"kind": "noop"}]}},
        {"id": "quote", "event_type": "step:radar:succeeded", "template": {"title": "Quote", "risk_level": "low",
          "steps": [{"kind": "noop", "params": {"seen": "{{ event.data.result }}"}}]}}]}
      """#)
    func run(_ type: String, _ data: JSON) throws {
      _ = try engine.emit(type, data)
      for _ in 0..<3 {
        _ = try engine.heartbeat(drain: true) { _ in }
        try engine.work()
      }
    }
    func mission(_ title: String) throws -> StreamID {
      try #require(
        StreamID(
          ledger.value(
            """
            SELECT m.id FROM ops_missions AS m JOIN ops_mission_proposals AS p ON p.id = m.proposal_id
            WHERE p.template ->> 'title' = '\(title)' ORDER BY m.created_at DESC, m.id DESC LIMIT 1
            """)))
    }
    try run("scout:find", .object(["summary": .string(secret)]))
    let source = try mission("Look")
    try run("scout:list", .object([:]))
    return (source, try mission("List"), try mission("Quote"))
  }

  @Test(
    "a list of another mission, what was reported of it and what came of that are erased, and no more"
  )
  func radarList() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let (source, lister, quoter) = try Self.listed(ledger, engine)
      let quoting = try ledger.count(
        "ops_mission_steps WHERE mission_id = '\(quoter)' AND params::text LIKE '%\(Self.secret)%'")
      #expect(quoting == 1, "the chain does not carry the copy, and proves nothing")
      let report = try engine.erase(.mission(source), why: "asked for")
      #expect(try ErasingTests.holders(ledger) == [])
      #expect(report.sameWords.rows.isEmpty, "\(report.sameWords)")
      // The mission that listed keeps its own words.
      #expect(
        try ledger.count(
          """
          ops_missions AS m JOIN ops_mission_proposals AS p ON p.id = m.proposal_id
          WHERE m.id = '\(lister)' AND p.template ->> 'title' = 'List'
          """) == 1)
      #expect(
        try ledger.count(
          "ops_mission_steps WHERE mission_id = '\(lister)' AND kind = 'noop' AND result IS NOT NULL"
        )
          == 1)
      try ledger.expectEqual()
    }
  }

  @Test("a mission that holds a copy and has not ended, or is held, stops the erasure of another")
  func copyInAnotherMission() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let (source, lister, _) = try Self.listed(ledger, engine)
      let hold = try engine.placeHold(.mission(lister), why: "a case")
      for onlyLooking in [true, false] {
        do throws(OpsError) {
          _ = try engine.erase(.mission(source), why: "asked for", onlyLooking: onlyLooking)
          Issue.record("erased what is held")
        } catch {
          #expect(error.code == .notAllowed && error.facts["hold_id"] == hold.description)
        }
      }
      _ = try engine.releaseHold(hold, why: "closed")
      try ledger.execute("UPDATE ops_missions SET status = 'running' WHERE id = '\(lister)'")
      for onlyLooking in [true, false] {
        do throws(OpsError) {
          _ = try engine.erase(.mission(source), why: "asked for", onlyLooking: onlyLooking)
          Issue.record("erased under its feet")
        } catch {
          #expect(error.code == .conflict && error.facts["mission_id"] == lister.description)
        }
      }
      #expect(try ledger.count("ledger.events WHERE type LIKE '%.erased'") == 0)
    }
  }

  @Test("copies that no event names are listed with their fields, and erased by their ids")
  func sameWords() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let event = try engine.emit("other:thing", .object(["note": .string(Self.secret)])).eventID
      let escaped = #"a \"quote\" of \#(Self.secret)"#
      try ledger.execute(
        """
        INSERT INTO ops_demand_radar (title, stage) VALUES ('as typed: \(Self.secret)', 'watching');
        INSERT INTO ops_agent_events (type, data) VALUES ('by:hand', '{"said": "\(escaped)"}');
        UPDATE ops_demand_radar SET notes = 'nothing'
        """)
      _ = try engine.setPolicy("limits", to: .object([:]), why: "because of \(Self.secret)")
      let hold = try engine.placeHold(.source("nobody"), why: "about \(Self.secret)")
      let keyed = try engine.emit("other:key", key: "find-\(Self.secret)").eventID
      let found = try engine.erase(.event(event), why: "asked for").sameWords
      let fields = Dictionary(
        uniqueKeysWithValues: found.rows.map { ($0.rowType, $0) }.filter { $0.1.stream != keyed })
      #expect(found.rows.count == 5, "\(found)")
      #expect(fields[.radar]?.fields == ["content.title"])
      #expect(fields[.agentEvent]?.fields == ["content.data"])
      #expect(fields[.policy]?.fields == ["content.why"])
      #expect(fields[.hold]?.stream == hold && fields[.hold]?.isErasable == true)
      let structure = found.rows.first { $0.stream == keyed }
      #expect(structure?.fields == ["data.dedupe_key"] && structure?.isErasable == false)
      // Of the row itself what stays is named, too.
      for row in found.rows where row.isErasable {
        #expect(try engine.erase(.row(row.stream), why: "asked for").entry != nil, "\(row)")
      }
      #expect(try engine.erase(.row(hold), why: "asked for").rows.isEmpty)
      let left = try ErasingTests.holders(ledger)
      #expect(
        left.allSatisfy { $0 == "ops_agent_events" || $0.hasPrefix("ledger.events") }, "\(left)")
      #expect(
        try ledger.count("ledger.events AS e WHERE e.content::text LIKE '%\(Self.secret)%'") == 0)
      try ledger.expectEqual()
      #expect(try ledger.value("SELECT why FROM ledger.holds WHERE id = '\(hold)'") == "")
    }
  }

  @Test("the ledger's own row, and one that nobody has, are not found")
  func noRow() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      for id in [StreamID.ledger, StreamID(high: 1, low: 2)] {
        do throws(OpsError) {
          _ = try engine.erase(.row(id), why: "asked for")
          Issue.record("erased \(id)")
        } catch {
          #expect(error.code == .notFound)
        }
      }
    }
  }

  @Test("common words are counted, not listed, and short ones are not looked for")
  func commonWords() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let data = JSON.object(["a": .string("common words"), "b": .string("short")])
      let event = try engine.emit("other:thing", data).eventID
      try ledger.execute(
        """
        INSERT INTO ops_agent_events (type, data)
          SELECT 'other:thing', '{"a": "common words", "b": "short"}' FROM generate_series(1, 1001)
        """)
      let found = try engine.erase(.event(event), why: "asked for", onlyLooking: true).sameWords
      #expect(found.rows.isEmpty && found.commonTexts == 1, "\(found)")
    }
  }

  @Test(
    "statistics have nothing of it, though the engine's login owns no table and one has become empty"
  )
  func statistics() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try ledger.execute(
        """
        INSERT INTO ops_demand_radar (title, stage) VALUES ('\(Self.secret)', 'watching');
        CREATE STATISTICS public.together (mcv) ON title, notes FROM ops_demand_radar;
        CREATE INDEX noted ON ops_agent_events ((data ->> 'note'));
        INSERT INTO ops_agent_events (type, data)
          SELECT 'other:thing', '{"note": "\(Self.secret)"}' FROM generate_series(1, 5);
        ANALYZE
        """)
      func samples() throws -> Int {
        try ledger.count("pg_stats AS s WHERE s::text LIKE '%\(Self.secret)%'")
          + ledger.count("pg_stats_ext AS s WHERE s::text LIKE '%\(Self.secret)%'")
      }
      #expect(try samples() >= 3, "there is nothing to forget")
      let radar = try #require(StreamID(ledger.value("SELECT id FROM ops_demand_radar")))
      try ledger.execute("DELETE FROM ops_demand_radar")
      // The engine's login is no member of the tables' owner.
      #expect(try engine.erase(.row(radar), why: "asked for").statistics == nil)
      for id in try ledger.lines("SELECT id FROM ops_agent_events WHERE data ? 'note'") {
        let report = try engine.erase(.row(try #require(StreamID(id))), why: "asked for")
        #expect(report.statistics == nil)
      }
      #expect(try samples() == 0)
    }
  }

  @Test("what a repair records of content tells nothing to whoever guesses")
  func repairs() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let event = try engine.emit("other:thing", .object(["pin": .string("4711")])).eventID
      try ledger.executeOffTheRecord(
        "UPDATE ops_agent_events SET data = '{\"pin\": \"0815\"}', thought = '4711' WHERE id = '\(event)'"
      )
      #expect(try Rebuilder.run(ledger.target, actor: "test", checkOnly: false).entry != nil)
      let listed = try ledger.value(
        "SELECT data -> 'report' -> 'listed' FROM ledger.events WHERE type = 'ledger.rebuilt'")
      let difference = try JSON(parsing: listed).arrayValue?.first {
        $0["column"] == .string("data")
      }
      #expect(difference?["row"] == .string(event.description))
      #expect(difference?["found"] == nil && difference?["expected"] == nil)
    }
  }

  @Test("any of many texts is found where it stands, and nothing else")
  func finder() {
    var finder = TextFinder()
    for text in ["12345678", "12345678 and more", "übermäßig lang"] { finder.add(text) }
    func found(_ text: String) -> Set<Int> {
      Array(text.utf8).withUnsafeBytes { finder.all(in: $0) }
    }
    #expect(found("12345678") == [0])
    #expect(found("x12345678 and more") == [0, 1])
    #expect(found("1234567") == [] && found("") == [] && found("12345679 and more") == [])
    #expect(found("so übermäßig langsam") == [2])
    #expect(SameWordsSearch.isTelling("a telling text"))
    #expect(!SameWordsSearch.isTelling("018f2a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f"))
    #expect(!SameWordsSearch.isTelling("2026-11-29T21:00:00.000000Z"))
  }
}
