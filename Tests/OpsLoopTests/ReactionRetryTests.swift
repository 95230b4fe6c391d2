import JSON
import Ledger
import Log
import OpsLoop
import TestLedgers
import Testing

/// Reactions that came to nothing are tried again, and what came of a batch is counted as it is.
@Suite(.needsServer)
struct ReactionRetryTests {
  private static let matrix = #"""
    {"patterns": [
      {"id": "key", "event_type": "key:*", "dedupe_key": "same",
       "template": {"risk_level": "low", "steps": [{"kind": "noop"}]}},
      {"id": "each", "event_type": "each:*", "template": {"risk_level": "low", "steps": [{"kind": "noop"}]}},
      {"id": "crawl", "event_type": "crawl:*", "template": {"steps": [{"kind": "crawl"}]}}]}
    """#

  private func id(_ ledger: TestLedger, _ condition: String) throws -> StreamID {
    let text = try ledger.value("SELECT id FROM ops_agent_reactions WHERE \(condition) LIMIT 1")
    return try #require(StreamID(text))
  }

  @Test("reactions with one key make one proposal, and say one")
  func oneKey() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set("reaction_matrix", Self.matrix)
      for _ in 0..<3 { try engine.emit("key:x") }
      let beat = try engine.heartbeat(drain: true)
      #expect((beat.queued, beat.processed, beat.created, beat.refused) == (3, 3, 1, 0))
      #expect(try ledger.count("ops_mission_proposals") == 1)
      try engine.emit("key:x")
      let again = try engine.heartbeat(drain: true)
      #expect((again.processed, again.created, again.refused) == (1, 0, 0))
    }
  }

  @Test("what a cap refused is counted, and tried again in bulk once there is room")
  func refused() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set("reaction_matrix", Self.matrix)
      try engine.set("proposal_caps", #"{"daily_limit": 2}"#)
      for _ in 0..<5 { try engine.emit("each:x") }
      let beat = try engine.heartbeat(drain: true)
      #expect((beat.processed, beat.created, beat.refused) == (5, 2, 3))
      #expect(try engine.session.status().refusedToday == 3)
      let filter = ReactionFilter(failed: false, refused: true, limit: 2)
      #expect(try engine.retryReactions(filter, why: "more room") == 2)
      // Without room they are refused once more, and may be tried again.
      let full = try engine.heartbeat(drain: true)
      #expect((full.processed, full.created, full.refused) == (2, 0, 2))
      try engine.set("proposal_caps", "{}")
      let all = ReactionFilter(failed: false, refused: true, limit: 1000)
      #expect(try engine.retryReactions(all, why: "no cap") == 3)
      #expect(try engine.heartbeat(drain: true).created == 3)
      #expect(try engine.retryReactions(all, why: "none is left") == 0)
      #expect(try ledger.count("ops_missions") == 5)
      try ledger.expectEqual()
    }
  }

  @Test("a reaction that failed is tried again, with the reason; one that has its proposal is not")
  func failed() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set("reaction_matrix", Self.matrix)
      try engine.emit("crawl:x")
      try engine.emit("each:x")
      _ = try engine.heartbeat(drain: true)
      let (failed, done) = (try id(ledger, "status = 'failed'"), try id(ledger, "status = 'done'"))
      try engine.retryReaction(failed, why: "its executor came")
      #expect(
        try ledger.count(
          "ledger.events WHERE type = 'reaction.retried' AND content->>'why' = 'its executor came'")
          == 1)
      let queued = #expect(throws: OpsError.self) { try engine.retryReaction(failed, why: "again") }
      #expect(queued?.code == .conflict)
      let kept = #expect(throws: OpsError.self) { try engine.retryReaction(done, why: "again") }
      #expect(kept?.code == .conflict)
      let nobody = #expect(throws: OpsError.self) {
        try engine.retryReaction(StreamID(high: 1, low: 1), why: "who")
      }
      #expect(nobody?.code == .notFound)
      _ = try engine.heartbeat(drain: true)
      #expect(try id(ledger, "status = 'failed'") == failed)
      let story = try engine.session.story(ofReaction: failed)
      #expect(
        story.events.map(\.type)
          == ["reaction.queued", "reaction.failed", "reaction.retried", "reaction.failed"])
      try ledger.expectEqual()
    }
  }

  @Test("what can never run is warned of, and what an event fills is not")
  func warnings() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      func warnings(_ key: String, _ text: String) throws -> [String] {
        try engine.warnings(policy: key, value: JSON(parsing: text))
      }
      func pattern(_ template: String, _ more: String = "") throws -> [String] {
        try warnings(
          "reaction_matrix", #"{"patterns": [{"id": "p", "template": \#(template)\#(more)}]}"#)
      }
      for template in [
        #"{"steps": [{"kind": "crawl"}]}"#, #"{"steps": []}"#, "{}",
        #"{"steps": [{"kind": "noop", "needs": [1]}]}"#,
        #"{"steps": [{"kind": "noop", "needs": [0]}]}"#,
        #"{"steps": [{"kind": "noop", "needs": [1]}, {"kind": "noop", "needs": [0]}]}"#,
        #"{"steps": [{"kind": "{{ event.data.kind }}", "executor": "crawl"}]}"#,
        #"{"steps": [{"kind": "noop"}, {"kind": "noop", "needs": ["{{ event.data.n }}", 7]}]}"#,
        #"{"risk_level": "huge", "steps": [{"kind": "noop"}]}"#,
      ] { #expect(try pattern(template).count == 1, "\(template)") }
      let fine = #"{"steps": [{"kind": "noop"}]}"#
      for template in [
        fine, #"{"steps": "{{ event.data.steps }}"}"#, #"{"steps": ["{{ event.data.step }}"]}"#,
        #"{"title": "{{ event.data.a }}", "risk_level": "{{ event.data.risk }}", "steps": [{"kind": "x {{ event.data.k }}"}]}"#,
        #"{"steps": [{"kind": "noop", "max_retries": "{{ event.data.n }}", "params": "{{ event.data.p }}"}]}"#,
      ] { #expect(try pattern(template) == [], "\(template)") }
      for more in [
        #", "event_type": []"#, #", "type": """#, #", "probability": 0"#, #", "dedupe_key": """#,
      ] {
        #expect(try pattern(fine, more).count == 1, "\(more)")
      }
      #expect(
        try warnings("worker_policy", #"{"allowed_executors": ["noop", "crawl"]}"#).count == 1)
      #expect(try warnings("auto_approve", #"{"allowed_executors": ["crawl"]}"#).count == 1)
      #expect(
        try warnings("voting_policy", #"{"enabled": true, "required_voters": ["nobody"]}"#).count
          == 1)
      #expect(
        try warnings("voting_policy", #"{"enabled": true, "thresholds": {"high": 99}}"#).count == 1)
      // The seeded ones are fine, all of them.
      for policy in try engine.session.list(.policies(limit: 100)) {
        #expect(try warnings(policy.key, policy.value) == [], "\(policy.key)")
      }
    }
  }
}
