import JSON
import Ledger
import OpsLoop
import Postgres
import TestLedgers
import Testing

/// The origin's functions called by eight at once, as its clients do.
@Suite(.needsServer)
struct PredecessorRaceTests {
  /// Each as one value, on a connection of its own.
  private func atOnceAsked(
    _ ledger: TestLedger, _ queries: @escaping @Sendable (Int) -> String
  ) throws -> [String] {
    try atOnce(8) { try ledger.value(queries($0)) }
  }

  private static func create(_ key: String?, risk: String = "low", steps: Int = 1) -> String {
    let list = Array(repeating: #"{"kind": "noop"}"#, count: steps).joined(separator: ", ")
    return """
      SELECT r_proposal_id || ' ' || r_status FROM ops_create_proposal_and_maybe_autoapprove(
        \(key.map { "'\($0)'" } ?? "NULL"), 'api',
        '{"risk_level": "\(risk)", "parallel": true, "steps": [\(list)]}')
      """
  }

  @Test("a cap of one lets one of eight through")
  func cap() throws {
    try TestLedger.with { ledger in
      try ledger.engine().set("proposal_caps", #"{"per_source": {"api": 1}}"#)
      let answers = try atOnceAsked(ledger) { _ in Self.create(nil) }
      #expect(answers.count { $0.hasSuffix("auto_approved") } == 1)
      #expect(answers.count { $0.hasSuffix("rejected") } == 7)
      #expect(try ledger.count("ops_missions") == 1)
    }
  }

  @Test("a cap holds for functions and engine at the same time")
  func capWithEngine() throws {
    try TestLedger.with { ledger in
      try ledger.engine().set("proposal_caps", #"{"daily_limit": 5}"#)
      let answers = try atOnce(8) { index in
        if index % 2 == 0 { return try ledger.value(Self.create(nil)) }
        return try ledger.engine().submit(
          .noops(.fine), source: .api, dedupeKey: nil
        ).status.rawValue
      }
      #expect(answers.count { $0.hasSuffix("auto_approved") } == 5)
    }
  }

  @Test("one dedupe key is one proposal, and all eight are told of it")
  func dedupeKey() throws {
    try TestLedger.with { ledger in
      let answers = try atOnceAsked(ledger) { _ in Self.create("same") }
      #expect(Set(answers).count == 1)
      #expect(try ledger.count("ops_mission_proposals") == 1)
      #expect(try ledger.count("ops_missions") == 1)
    }
  }

  @Test("eight votes at once are eight votes, and make one mission")
  func votes() throws {
    try TestLedger.with { ledger in
      try ledger.engine().set(
        "voting_policy", #"{"enabled": true, "thresholds": {"high": 8}}"#)
      try ledger.engine().set(
        "agent_roles", "{" + (0..<8).map { "\"role-\($0)\": {}" }.joined(separator: ",") + "}")
      _ = try ledger.value(Self.create(nil, risk: "high"))
      let answers = try atOnceAsked(ledger) { index in
        "SELECT ops_cast_vote(id, 'role-\(index)', 'approve')->>'status' FROM ops_mission_proposals"
      }
      #expect(answers.sorted() == ["approved"] + Array(repeating: "voting", count: 7))
      #expect(try ledger.count("ops_missions") == 1)
      #expect(try ledger.count("ops_proposal_votes") == 8)
    }
  }

  @Test("eight who make a proposal's mission make one")
  func missions() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        INSERT INTO ops_mission_proposals (source, status, template)
        VALUES ('manual', 'approved', '{"steps": [{"kind": "noop"}]}')
        """)
      let answers = try atOnceAsked(ledger) { _ in
        "SELECT ops_create_mission_from_proposal(id) FROM ops_mission_proposals"
      }
      #expect(Set(answers).count == 1)
      #expect(try ledger.count("ops_missions") == 1)
      #expect(try ledger.count("ops_mission_steps") == 1)
    }
  }

  @Test("eight claims of one mission's eight steps take each one, and start it once")
  func claims() throws {
    try TestLedger.with { ledger in
      _ = try ledger.value(Self.create(nil, steps: 8))
      let answers = try atOnceAsked(ledger) { _ in "SELECT id FROM ops_claim_next_step(5)" }
      #expect(Set(answers).subtracting([""]).count == 8)
      #expect(try ledger.count("ops_mission_steps WHERE status = 'running'") == 8)
      #expect(try ledger.count("ops_missions WHERE status = 'running'") == 1)
    }
  }

  @Test("eight recoveries recover each step once")
  func recoveries() throws {
    try TestLedger.with { ledger in
      _ = try ledger.value(Self.create(nil, steps: 8))
      for _ in 0..<8 { _ = try ledger.value("SELECT id FROM ops_claim_next_step(5)") }
      try ledger.moveClock(seconds: 600)
      let answers = try atOnceAsked(ledger) { _ in
        "SELECT requeued_steps + failed_steps FROM ops_recover_expired_leases()"
      }
      #expect(answers.compactMap { Int($0) }.reduce(0, +) == 8)
      #expect(try ledger.count("ops_mission_steps WHERE failure_count = 1") == 8)
    }
  }

  @Test("who counts by an older snapshot is refused")
  func isolation() throws {
    try TestLedger.with { ledger in
      for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        #expect(throws: PostgresError.self) {
          try ledger.execute("BEGIN ISOLATION LEVEL \(level); \(Self.create(nil))")
        }
      }
      let left = try ledger.count("ops_mission_proposals")
      #expect(left == 0)
    }
  }
}
