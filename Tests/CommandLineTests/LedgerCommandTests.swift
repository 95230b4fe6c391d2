import JSON
import Ledger
import Log
import TestLedgers
import TestSupport
import Testing

/// The main way through a ledger, and the shapes that scripts rely on.
@Suite("the ledger's commands", .needsServer)
struct LedgerCommandTests {
  @Test("from nothing to a finished mission, its history and an equal replay")
  func mainWay() throws {
    try TestLedger.withEmptyDatabase { ledger in
      let opsledger = LedgerProgram(url: ledger.adminURL)
      let before = try opsledger("heartbeat")
      #expect(before.code == 3)
      #expect(before.errors.hasPrefix("error OPS_014: "))

      let made = try opsledger.json("init", "--name", "first")
      #expect(made["created"] == .bool(true))
      #expect(made["name"] == .string("first"))
      #expect(made["seeded"]?.arrayValue?.count == 8)
      let again = try opsledger.json("init")
      #expect(again["created"] == .bool(false))
      #expect(again["seeded"] == .array([]))

      let data = #"{"summary": "a new tool"}"#
      let emitted = try opsledger.json("event", "emit", "scout:find", "--data", data)
      #expect(emitted.keys == ["event_id", "entry", "duplicate"])
      #expect(emitted["duplicate"] == .bool(false))
      let beat = try opsledger.json("heartbeat")
      #expect(beat["triggerResult"] == .object(["events": .int(1), "queued": .int(1)]))
      #expect(beat["reactionResult"] == .object(["processed": .int(1), "created": .int(1)]))
      let work = try opsledger("worker")
      #expect(work.code == 0)
      #expect(work.output.contains("1 succeeded, 0 failed"))
      #expect(try opsledger("worker").output == "No steps are queued\n")

      let missions = try opsledger.json("mission", "list")
      #expect(missions[0]?["status"] == .string("succeeded"))
      let id = try #require(missions[0]?["id"]?.stringValue)
      let history = try opsledger("mission", "history", id)
      for part in [
        "agent event scout:find reported", "pattern scout-finds-opportunity",
        "auto_approve version 1", "leased to worker/", "mission succeeded",
        "reported mission:succe",
      ] { #expect(history.output.contains(part), "\(part) is missing") }
      let verified = try opsledger.json("verify")
      #expect(verified["ok"] == .bool(true))
      #expect(verified["differences"] == .array([]))
      #expect(
        verified.keys.isSuperset(of: [
          "ok", "entry", "events", "rows", "differences", "not_covered",
        ]))
    }
  }

  @Test("an idle heartbeat answers the endpoint's object, all zeros")
  func idleHeartbeat() throws {
    try TestLedger.with { ledger in
      let zero = JSON.int(0)
      let expected = JSON.object([
        "ok": .bool(true), "triggerResult": .object(["events": zero, "queued": zero]),
        "reactionResult": .object(["processed": zero, "created": zero]),
        "learningResult": .object(["promoted": zero]),
        "leaseResult": .object(["requeued_steps": zero, "failed_steps": zero]),
        "staleResult": .object(["recovered": zero]), "quarantined": zero,
      ])
      let opsledger = LedgerProgram(ledger)
      for _ in 0..<2 {
        let beat = try opsledger.json("heartbeat")
        #expect(beat == expected)
      }
    }
  }

  @Test("a dedupe key says which event has it, and records nothing")
  func duplicate() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      let first = try opsledger.json("event", "emit", "a:b", "--dedupe", "k")
      let second = try opsledger.json("event", "emit", "a:b", "--dedupe", "k")
      #expect(second["duplicate"] == .bool(true))
      #expect(second["event_id"] == first["event_id"])
      #expect(try ledger.count("ops_agent_events") == 1)
    }
  }

  @Test("a proposal is submitted, decided by a person under a name, and its history says why")
  func proposal() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      let template = #"{"title": "wait", "risk_level": "high", "steps": [{"kind": "noop"}]}"#
      let made = try opsledger.json("proposal", "submit", input: template)
      #expect(made.keys == ["proposal_id", "status", "mission_id", "reason"])
      #expect(made["status"] == .string("voting"))
      let id = try #require(made["proposal_id"]?.stringValue)
      let cast = try opsledger("proposal", "vote", id, "approve", "--as", "sage", "--why", "good")
      #expect(
        cast.output == "sage voted approve; missing: 2 approvals; the vote of observer, architect\n"
      )
      #expect(try opsledger("proposal", "vote", id, "approve").code == 2)
      #expect(try opsledger("proposal", "vote", id, "maybe", "--as", "sage").code == 2)
      let shown = try opsledger("proposal", "show", id).output
      for text in [
        "no: risk high is above max_risk_level low (auto_approve.max_risk_level;",
        "1 of 3 approvals (voting_policy version 1)", "sage approve: good",
        "2 approvals; the vote of observer, architect; until",
      ] { #expect(shown.contains(text), "\(text) is not in \(shown)") }
      #expect(try opsledger("proposal", "approve", id).code == 2)
      let approved = try opsledger("--as", "boss", "proposal", "approve", id, "--why", "it is time")
      #expect(approved.code == 0)
      #expect(try opsledger("proposal", "approve", id, "--why", "again").output == approved.output)
      #expect(try opsledger("proposal", "reject", id, "--why", "no").code == 1)
      let mission = try #require(
        try opsledger.json("mission", "list")[0]?["id"]?.stringValue)
      let history = try opsledger("mission", "history", mission).output
      #expect(history.contains("approved by boss (cli/"))
      #expect(history.contains("it is time"))
      let after = try opsledger.json("proposal", "show", id)
      #expect(after["status"] == .string("approved"))
      #expect(after["mission_id"] == .string(mission))
      #expect(after["auto_approval_refusal"]?["rule"] == .string("auto_approve.max_risk_level"))
    }
  }

  @Test("a policy is set with a reason, and a value that its kind does not allow is refused")
  func policy() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      let set = try opsledger(
        "policy", "set", "proposal_caps", "--file", "-", "--why", "launch",
        input: #"{"daily_limit": 7}"#)
      #expect(set.code == 0)
      #expect(try opsledger.json("policy", "get", "proposal_caps")["daily_limit"] == .int(7))
      let history = try opsledger.json("policy", "history", "proposal_caps")
      #expect(history[0]?["why"] == .string("launch"))
      #expect(history[0]?["version"] == .int(2))
      let entries = try ledger.count("ledger.events")
      let broken = try opsledger(
        "policy", "set", "auto_approve", "--file", "-", "--why", "x",
        input: #"{"enabled": "maybe"}"#)
      #expect(broken.code == 1)
      #expect(broken.errors.hasPrefix("error OPS_009: "))
      #expect(try ledger.count("ledger.events") == entries)
      #expect(try opsledger("policy", "get", "none").errors.hasPrefix("error OPS_002: "))
    }
  }

  @Test("a halted loop says since when, by whom and why, and exits 0")
  func halted() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      _ = try opsledger("event", "emit", "user:request", "--data", #"{"topic": "t"}"#)
      _ = try opsledger.json("heartbeat")
      _ = try opsledger(
        "policy", "set", "loop", "--file", "-", "--why", "drill",
        input: #"{"state": "halted", "why": "fire drill"}"#)
      for command in ["heartbeat", "worker"] {
        let answer = try opsledger(command)
        #expect(answer.code == 0)
        #expect(answer.output.hasPrefix("Halted since 20"))
        #expect(answer.output.contains(" by cli/"))
        #expect(answer.output.hasSuffix(": fire drill\n"))
      }
      #expect(try opsledger.json("status")["halted"] == .string("fire drill"))
    }
  }

  @Test("a worker that can claim nothing says what its steps wait for")
  func waiting() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      let template = """
        {"title": "t", "risk_level": "low", "steps": [
          {"kind": "noop"}, {"kind": "noop"}, {"kind": "noop"}]}
        """
      _ = try opsledger.json("proposal", "submit", input: template)
      try ledger.execute(
        "UPDATE ops_mission_steps SET not_before = now() + interval '1 day' WHERE ordinal = 0")
      let other = #"{"title": "u", "risk_level": "low", "steps": [{"kind": "noop"}]}"#
      _ = try opsledger.json("proposal", "submit", input: other)
      let first = try opsledger("worker").output
      #expect(
        first.contains("1 succeeded, 0 failed; 3 queued (2 wait for an earlier step, 1 not b"))
      let second = try opsledger("worker").output
      #expect(
        second.hasPrefix("No step can run now: 3 queued (2 wait for an earlier step, 1 not bef"))
      _ = try opsledger(
        "policy", "set", "worker_policy", "--file", "-", "--why", "x",
        input: #"{"blocked_executors": ["noop"]}"#)
      #expect(try opsledger("worker").output.contains("1 wait for paused executor noop"))
    }
  }

  @Test("a lease is renewed while its step runs, so that a step may outlast its lease")
  func renewal() throws {
    try patiently(from: 1) { seconds in
      try TestLedger.with { ledger in
        let opsledger = LedgerProgram(ledger)
        let template = """
          {"risk_level": "low",
           "steps": [{"kind": "noop", "params": {"sleep_ms": \(Int(seconds * 2500))}}]}
          """
        _ = try opsledger.json("proposal", "submit", input: template)
        let work = try opsledger.json("worker", "--lease", "\(Int(seconds))s")
        let renewed = try ledger.count("ledger.events WHERE type = 'step.renewed'")
        let failed = try ledger.count("ledger.events WHERE type = 'step.attempt_failed'")
        guard work["succeeded"] == .int(1), renewed >= 2, failed == 0 else {
          throw NeverCame("\(work), renewed \(renewed), failed \(failed)")
        }
      }
    }
  }
}
