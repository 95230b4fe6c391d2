import JSON
import Ledger
import Log
import OpsLoop
import TestLedgers
import Testing

/// Conditions, chains of reactions, policies that hands broke, and what explains them.
@Suite(.needsServer)
struct MatchingTests {
  private func matrix(_ fields: String, limit: Int? = nil) -> String {
    let limit = limit.map { #", "max_causation_depth": \#($0)"# } ?? ""
    return #"""
      {"patterns": [{"id": "p", \#(fields), "template": {"risk_level": "low",
        "steps": [{"kind": "noop"}]}}]\#(limit)}
      """#
  }

  @Test(
    "a condition is an SQL/JSON path: predicates and filters both say what they mean",
    arguments: [
      ("$.score > 5", #"{"score": 6}"#, true), ("$.score > 5", #"{"score": 5}"#, false),
      ("$.score > 5", #"{"score": "high"}"#, false), ("$.score > 5", "{}", false),
      ("$.items[*] ? (@.price < 10)", #"{"items": [{"price": 11}, {"price": 9}]}"#, true),
      ("$.items[*] ? (@.price < 10)", #"{"items": []}"#, false), ("$.on", #"{"on": true}"#, true),
      ("$.on", #"{"on": false}"#, false), ("$.on", #"{"on": null}"#, false),
      (#"$.name like_regex "^a" && exists($.tag)"#, #"{"name": "ab", "tag": 1}"#, true),
      ("strict $.a.b", #"{"a": 1}"#, false), ("$.n / 0 > 1", #"{"n": 1}"#, false),
      (#"$.due.datetime() < "2027-01-01".datetime()"#, #"{"due": "2026-05-01"}"#, true),
      (
        #"$.due.datetime() < "2027-01-01".datetime()"#, #"{"due": "2026-05-01T10:00:00+02:00"}"#,
        true
      ), (#"$.a == "costs $""#, #"{"a": "costs $"}"#, true),
    ])
  func conditions(path: String, data: String, holds: Bool) throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set(
        "reaction_matrix", matrix(#""event_type": "e", "condition": \#(JSON.string(path).text)"#))
      try engine.emit("e", JSON(parsing: data))
      let foreseen = try engine.explain(type: "e", data: data)
      #expect(foreseen.patterns[0].matched == holds)
      #expect(try engine.heartbeat(drain: false).queued == (holds ? 1 : 0))
      try ledger.expectEqual()
    }
  }

  @Test("a condition that cannot be evaluated for one event's data stops nobody, and that is said")
  func unanswered() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let path = #"$.at.datetime("bogus ZZ") > "2026-01-01".datetime()"#
      try engine.set(
        "reaction_matrix", matrix(#""event_type": "*", "condition": \#(JSON.string(path).text)"#))
      try engine.emit("e", JSON(parsing: #"{"at": "2026-05-01"}"#))
      let beat = try engine.heartbeat(drain: false)
      #expect((beat.events, beat.queued) == (1, 0))
      let event = try #require(
        StreamID(try ledger.value("SELECT id FROM ops_agent_events WHERE type = 'e'")))
      #expect(try engine.explain(event).patterns[0].detail?.contains("cannot be evaluated") == true)
      for path in ["$x", "$.a ? (@ starts with $v)"] {
        let refused = #expect(throws: OpsError.self) {
          try engine.set(
            "reaction_matrix",
            matrix(#""event_type": "e", "condition": \#(JSON.string(path).text)"#))
        }
        #expect(refused?.code == .patternInvalid && refused?.message.contains("variable") == true)
      }
      try ledger.expectEqual()
    }
  }

  @Test("a dedupe key that no index holds makes no proposal, and stops nobody")
  func longKey() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set(
        "reaction_matrix", matrix(#""event_type": "e", "dedupe_key": "{{ event.data.k }}""#))
      var random = SystemRandomNumberGenerator()
      let long = String(
        decoding: (0..<9000).map { _ in UInt8.random(in: 0x41...0x5a, using: &random) },
        as: UTF8.self)
      try engine.emit("e", .object(["k": .string(long)]))
      try engine.emit("e", .object(["k": .string("short")]))
      let beat = try engine.heartbeat(drain: true)
      #expect((beat.events, beat.created) == (2, 1))
      // By hand, a reaction may be queued with one.
      try ledger.execute(
        """
        INSERT INTO ops_agent_reactions (event_id, payload, status)
        SELECT id, jsonb_build_object('dedupe_key', '\(long)', 'template',
          '{"steps": [{"kind": "noop"}]}'::jsonb), 'queued' FROM ops_agent_events LIMIT 1
        """)
      _ = try engine.heartbeat(drain: true)
      #expect(try ledger.count("ops_agent_reactions WHERE status = 'failed'") == 1)
      #expect(try ledger.count("ops_mission_proposals") == 1)
      try ledger.expectEqual()
    }
  }

  @Test(
    "a condition that is no path is refused, and manually leaves the last valid matrix in force")
  func badCondition() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let bad = matrix(#""event_type": "e", "condition": "$.score >""#)
      let refused = #expect(throws: OpsError.self) { try engine.set("reaction_matrix", bad) }
      #expect(refused?.code == .patternInvalid)
      try engine.set("reaction_matrix", matrix(#""event_type": "e""#))
      for broken in [bad, "7", #"{"patterns": [{"id": 1}]}"#] {
        try ledger.execute(
          "UPDATE ops_policy SET value = '\(broken)' WHERE key = 'reaction_matrix'")
        for other in [engine, try ledger.engine()] {
          try other.emit("e")
          let beat = try other.heartbeat(drain: false)
          #expect((beat.events, beat.queued) == (1, 1), "\(broken)")
          #expect(beat.warnings.contains { $0.contains("reaction_matrix") }, "\(broken)")
        }
      }
      try ledger.execute("DELETE FROM ops_policy WHERE key IN ('reaction_matrix', 'worker_policy')")
      let fresh = try ledger.engine()
      try fresh.emit("e")
      #expect(try fresh.heartbeat(drain: false).queued == 1)
      #expect(try fresh.heartbeat(drain: false).warnings.count == 2)
    }
  }

  @Test("a worker policy that a manual change broke leaves the last valid one in force")
  func brokenWorkerPolicy() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set("worker_policy", #"{"blocked_executors": ["radar"]}"#)
      try ledger.execute("UPDATE ops_policy SET value = '[]' WHERE key = 'worker_policy'")
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      _ = try engine.submit(
        .radar("add", ["title": .string("t")]), source: .manual, dedupeKey: nil)
      let report = try ledger.engine().work()
      #expect(report.succeeded == 1)
      #expect(report.waiting?.executors == ["radar": 1])
    }
  }

  @Test("without proposal_caps nothing passes the gate")
  func noCaps() throws {
    try TestLedger.with { ledger in
      try ledger.execute("DELETE FROM ops_policy WHERE key = 'proposal_caps'")
      let outcome = try ledger.engine().submit(.noops(.fine), source: .manual, dedupeKey: nil)
      #expect(outcome.status == .rejected)
      #expect(outcome.reason?.contains("policy rollback") == true)
    }
  }

  @Test("a pattern that feeds itself comes to rest at the limit, and the heartbeat names it")
  func chain() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set(
        "reaction_matrix", matrix(#""event_type": ["start", "step:noop:succeeded"]"#, limit: 4))
      try engine.emit("start")
      var warnings: [String] = []
      for _ in 0..<8 {
        warnings += try engine.heartbeat(drain: true).warnings
        try engine.work()
      }
      #expect(try ledger.count("ops_missions") == 4)
      #expect(try ledger.count("ops_agent_events WHERE processed_at IS NULL") == 0)
      #expect(warnings.count == 1)
      #expect(warnings.first?.contains("max_causation_depth is 4") == true)
      #expect(
        try ledger.lines(
          "SELECT policy_snapshot->>'causation_depth' FROM ops_mission_proposals ORDER BY id")
          == ["", "2", "3", "4"])
      try ledger.expectEqual()
    }
  }

  @Test("a vote that is asked for by a vote ends as well")
  func votes() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set(
        "reaction_matrix",
        #"""
        {"max_causation_depth": 3, "patterns": [{"id": "p", "event_type": "proposal:vote_requested",
          "template": {"risk_level": "high", "steps": [{"kind": "noop"}]}}]}
        """#)
      _ = try engine.submit(.noops(.fine, risk: "high"), source: .manual, dedupeKey: nil)
      for _ in 0..<6 { _ = try engine.heartbeat(drain: true) }
      #expect(try ledger.count("ops_mission_proposals") == 3)
      try ledger.expectEqual()
    }
  }

  @Test("chance is recorded, and told by explain")
  func explains() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set(
        "reaction_matrix",
        #"""
        {"patterns": [
          {"id": "never", "probability": 0, "template": {"steps": [{"kind": "noop"}]}},
          {"id": "other", "event_type": "x", "template": {"steps": [{"kind": "noop"}]}},
          {"id": "path", "template": {"title": "{{ event.data.t }}", "steps": [{"kind": "noop"}]}},
          {"id": "yes", "template": {"risk_level": "low", "steps": [{"kind": "noop"}]}},
          {"id": "bad", "template": {"steps": [{"kind": "wizard"}]}}]}
        """#)
      let id = try engine.emit("e").eventID
      let before = try engine.explain(id)
      #expect(!before.isRecorded)
      #expect(before.patterns.map(\.matched) == [false, false, false, true, true])
      #expect(before.patterns[3].verdict?.status == .autoApproved)
      #expect(before.patterns[4].verdict?.status == nil)
      _ = try engine.heartbeat(drain: true)
      let after = try engine.explain(id)
      #expect(after.isRecorded)
      #expect(after.patterns.map(\.reason) == [.probability, .type, .template, nil, nil])
      #expect(after.patterns[0].draw != nil)
      #expect(after.patterns[2].detail?.contains("event.data.t") == true)
      #expect(after.patterns[3].proposalStatus == .autoApproved)
      #expect(after.patterns[4].reactionStatus == .failed)
      #expect(after.patterns[4].detail?.contains("OPS_005") == true)
      let report = try engine.policyReport()
      #expect(report.patterns.first { $0.id == "yes" }?.approved == 1)
      #expect(report.patterns.first { $0.id == "other" }?.reactions == 0)
      #expect(report.today == ["reaction": 1])
    }
  }

  @Test("the same value again records nothing; a rollback names its version; several are one entry")
  func versions() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let first = try engine.setPolicy(
        "proposal_caps", to: JSON(parsing: #"{"daily_limit": 7}"#), why: "x")
      #expect(first == PolicyChange(version: 2, isChanged: true))
      let again = try engine.setPolicy(
        "proposal_caps", to: JSON(parsing: #"{"daily_limit": 7}"#), why: "x")
      #expect(again == PolicyChange(version: 2, isChanged: false))
      #expect(try engine.rollbackPolicy("proposal_caps", to: 1, why: "back").version == 3)
      #expect(
        try ledger.value("SELECT value->'daily_limit' FROM ops_policy WHERE key = 'proposal_caps'")
          == "100")
      #expect(
        try ledger.value(
          "SELECT data->>'rollback_to' FROM ledger.events WHERE type = 'policy.set' ORDER BY entry DESC LIMIT 1"
        ) == "1")
      let never = #expect(throws: OpsError.self) {
        try engine.rollbackPolicy("proposal_caps", to: 99, why: nil)
      }
      #expect(never?.code == .notFound)
      let loop = #expect(throws: OpsError.self) {
        try engine.rollbackPolicy("loop", to: 1, why: nil)
      }
      #expect(loop?.code == .notAllowed)
      let changes = try engine.setPolicies(
        ["proposal_caps": .object([:]), "mine": .object(["a": .int(1)])], why: "both")
      #expect(changes["mine"] == PolicyChange(version: 1, isChanged: true))
      #expect(
        try ledger.count(
          "(SELECT entry FROM ledger.events WHERE content->>'why' = 'both' GROUP BY 1) AS e") == 1)
      let bad = #expect(throws: OpsError.self) {
        try engine.setPolicies(
          ["auto_approve": .object([:]), "proposal_caps": .array([])], why: "half")
      }
      #expect(bad?.code == .badInput)
      #expect(try ledger.count("ledger.events WHERE content->>'why' = 'half'") == 0)
      try ledger.expectEqual()
    }
  }
}
