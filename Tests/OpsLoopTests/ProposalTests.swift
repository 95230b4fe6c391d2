import JSON
import Ledger
import Log
import OpsLoop
import TestLedgers
import Testing

/// Proposals: gated, decided once, one mission each.
@Suite(.needsServer)
struct ProposalTests {
  @Test("the gate refuses what is beyond the day's cap, and refused ones do not count")
  func dailyCap() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set("proposal_caps", #"{"daily_limit": 3}"#)
      let outcomes = try (0..<5).map { number in
        try engine.submit(.noops(.fine), source: .manual, dedupeKey: "key-\(number)")
      }
      #expect(
        outcomes.map(\.status)
          == [.autoApproved, .autoApproved, .autoApproved, .rejected, .rejected])
      #expect(outcomes[4].reason?.hasPrefix("OPS_003") == true)
      #expect(try ledger.count("ops_mission_proposals WHERE dedupe_key IS NULL") == 2)
      try ledger.moveClock(seconds: 86_400)
      let again = try engine.submit(.noops(.fine), source: .manual, dedupeKey: "key-4")
      #expect(again.status == .autoApproved)
      try ledger.expectEqual()
    }
  }

  @Test("a cap holds however many submit at once")
  func capAtOnce() throws {
    try TestLedger.with { ledger in
      try ledger.engine().set("proposal_caps", #"{"per_source": {"api": 5}}"#)
      let outcomes = try atOnce(8) { _ in
        let engine = try ledger.engine()
        return try (0..<2).map { _ in
          try engine.submit(.noops(.fine), source: .api, dedupeKey: nil).status
        }
      }
      #expect(outcomes.flatMap { $0 }.count { $0 == .autoApproved } == 5)
      #expect(outcomes.flatMap { $0 }.count { $0 == .rejected } == 11)
      try ledger.expectEqual()
    }
  }

  @Test("a reaction whose proposal the gate refuses is done")
  func reactionRefused() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set("proposal_caps", #"{"per_source": {"reaction": 0}}"#)
      try engine.emit("job:flaky", .object(["job": .string("j")]))
      _ = try engine.heartbeat(drain: true)
      #expect(try ledger.history("reaction") == ["queued", "done"])
      #expect(try ledger.history("proposal") == ["submitted", "gate_refused"])
      try ledger.expectEqual()
    }
  }

  @Test("a policy that a manual change broke fails closed")
  func brokenPolicies() throws {
    try TestLedger.with { ledger in
      // By the superuser and behind the log, as no policy of ours could be.
      try ledger.execute(
        #"UPDATE ops_policy SET value = '{"enabled": "perhaps"}' WHERE key = 'auto_approve'"#)
      let engine = try ledger.engine()
      let pending = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      #expect(pending.status == .pending)
      try ledger.execute(
        #"UPDATE ops_policy SET value = '{"daily_limit": "many"}' WHERE key = 'proposal_caps'"#)
      let refused = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      #expect(refused.status == .rejected)
      try ledger.execute("UPDATE ops_policy SET value = '7' WHERE key = 'loop'")
      #expect(try engine.heartbeat(drain: false).halt != nil)
    }
  }

  @Test("a dedupe key names one proposal, however many submit it at once")
  func dedupe() throws {
    try TestLedger.with { ledger in
      let outcomes = try atOnce(8) { _ in
        try ledger.engine().submit(.noops(.fine), source: .manual, dedupeKey: "once")
      }
      #expect(Set(outcomes.map(\.proposalID)).count == 1)
      #expect(Set(outcomes.map(\.missionID)).count == 1)
      #expect(try ledger.count("ops_mission_proposals") == 1)
      #expect(try ledger.count("ops_missions") == 1)
      try ledger.expectEqual()
    }
  }

  @Test("a dedupe key names one agent event, however many report it at once")
  func eventDedupe() throws {
    try TestLedger.with { ledger in
      let emitted = try atOnce(8) { _ in
        try ledger.engine().emit("test:once", key: "once")
      }
      #expect(Set(emitted.map(\.eventID)).count == 1)
      #expect(emitted.count { !$0.isDuplicate } == 1)
      #expect(try ledger.count("ops_agent_events") == 1)
      try ledger.expectEqual()
    }
  }

  @Test("eight approvals at once make one mission, and all name it")
  func approvedAtOnce() throws {
    try TestLedger.with { ledger in
      let proposal = try waiting(ledger)
      let missions = try atOnce(8) { index in
        try ledger.engine("cli/\(index)").approve(proposal, why: "fine")
      }
      #expect(Set(missions).count == 1)
      #expect(try ledger.count("ops_missions") == 1)
      #expect(try ledger.history("proposal") == ["submitted", "approved"])
      #expect(try ledger.engine().approve(proposal, why: "again") == missions[0])
      try ledger.expectEqual()
    }
  }

  @Test("approve and reject at once: one of them happened, the other is told")
  func decidedAtOnce() throws {
    try TestLedger.with { ledger in
      let proposal = try waiting(ledger)
      let decided = try atOnce(8) { index -> Bool in
        let engine = try ledger.engine("cli/\(index)")
        do {
          if index.isMultiple(of: 2) {
            _ = try engine.approve(proposal, why: nil)
          } else {
            try engine.reject(proposal, why: nil)
          }
          return true
        } catch let error as OpsError where error.code == .conflict {
          return false
        }
      }
      let approved = decided[0]
      #expect(decided == (0..<8).map { approved == $0.isMultiple(of: 2) })
      #expect(try ledger.count("ops_missions") == (approved ? 1 : 0))
      #expect(
        try ledger.history("proposal") == ["submitted", approved ? "approved" : "rejected"])
      try ledger.expectEqual()
    }
  }

  @Test("rejecting is idempotent, and what was decided stays decided")
  func rejected() throws {
    try TestLedger.with { ledger in
      let proposal = try waiting(ledger)
      let engine = try ledger.engine()
      try engine.reject(proposal, why: "no")
      try engine.reject(proposal, why: "no, really")
      let refusal = #expect(throws: OpsError.self) { try engine.approve(proposal, why: nil) }
      #expect(refusal?.code == .conflict)
      #expect(try ledger.history("proposal") == ["submitted", "rejected"])
      #expect(
        try ledger.value("SELECT status || ': ' || reason FROM ops_mission_proposals")
          == "rejected: no")
      let unknown = #expect(throws: OpsError.self) {
        try engine.approve(newCommandID(), why: nil)
      }
      #expect(unknown?.code == .notFound)
    }
  }

  @Test("a template that cannot run is refused and records nothing")
  func badTemplate() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      let before = try ledger.count("ledger.events")
      let unknown = #expect(throws: OpsError.self) {
        try engine.submit(
          try JSON(parsing: #"{"steps": [{"kind": "sing"}]}"#), source: .manual, dedupeKey: nil)
      }
      #expect(unknown?.code == .executorNotFound)
      let empty = #expect(throws: OpsError.self) {
        try engine.submit(.object(["steps": .array([])]), source: .manual, dedupeKey: nil)
      }
      #expect(empty?.code == .templateInvalid)
      #expect(try ledger.count("ledger.events") == before)
    }
  }

  @Test("a halted loop takes nothing new, and finishes what runs")
  func halted() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine, .fine), source: .manual, dedupeKey: nil)
      let claim = try engine.claim(10, worker: "w")
      try engine.emit("job:flaky", .object(["job": .string("j")]))
      try engine.set("loop", #"{"state": "halted", "why": "drill"}"#)
      let beat = try engine.heartbeat(drain: false)
      #expect(beat.halt == "drill")
      #expect((beat.events, beat.processed) == (0, 0))
      #expect(!(try engine.renew([(claim.steps[0].step.id, claim.steps[0].token)])).isEmpty)
      var held = claim.steps[0]
      held.token.version += 1
      #expect(
        try engine.complete([StepOutcome(held, .succeeded(nil))]).succeeded == 1)
      let work = try engine.work()
      #expect(work.halt == "drill")
      #expect(work.claimed == 0)
      try engine.set("loop", #"{"state": "running"}"#)
      #expect(try engine.heartbeat(drain: false).events == 1)
      let resumed = try engine.work()
      #expect((resumed.succeeded, resumed.failed) == (1, 1))
      try ledger.expectEqual()
    }
  }

  private func waiting(_ ledger: TestLedger) throws -> StreamID {
    let engine = try ledger.engine()
    try engine.set("voting_policy", #"{"enabled": false}"#)
    let outcome = try engine.submit(
      .noops(.fine, risk: "medium"), source: .manual, dedupeKey: nil)
    #expect(outcome.status == .pending)
    return outcome.proposalID
  }
}
