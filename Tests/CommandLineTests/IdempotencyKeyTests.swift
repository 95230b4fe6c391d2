import JSON
import Ledger
import Log
import TestLedgers
import Testing

@testable import opsledger

@Suite("requests under a key", .needsServer)
struct IdempotencyKeyTests {
  /// What is asked, and what must be there before.
  private struct Request {
    let command: String
    var arguments: [String] = []
    var input = ""
    /// Words that make it another request.
    var other = ["--as", "another"]
  }

  @Test(
    "every command that records what somebody asks for does it once under a key, and answers the same again"
  )
  func once() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      let requests = try requests(ledger, opsledger)
      #expect(
        Set(requests.map(\.command))
          == Set(CommandTable.all.filter { $0.options.contains { $0.name == "key" } }.map(\.name)))
      for request in requests {
        let key = newCommandID().description
        func ask(_ more: [String] = []) throws -> LedgerProgram.Answer {
          let words = request.command.split(separator: " ").map(String.init) + request.arguments
          return try opsledger.run(words + ["--key", key] + more, input: request.input)
        }
        let first = try ask()
        #expect(first.code == 0, "\(request.command): \(first.errors)")
        let events = try ledger.count("ledger.events")
        #expect(try ask().output == first.output, "\(request.command)")
        let other = try ask(request.other)
        #expect(
          other.code == 1 && other.errors.hasPrefix("error OPS_012: "),
          "\(request.command): \(other.errors)")
        #expect(try ledger.count("ledger.events") == events, "\(request.command)")
      }
      #expect(try ledger.count("ledger.idempotency_keys") == Int64(requests.count))
      #expect(try opsledger("verify").code == 0)
    }
  }

  private func requests(_ ledger: TestLedger, _ opsledger: LedgerProgram) throws -> [Request] {
    func template(_ risk: String, _ step: String = #"{"kind": "noop"}"#) -> String {
      #"{"title": "t", "risk_level": "\#(risk)", "steps": [\#(step)]}"#
    }
    func proposal(_ template: String) throws -> String {
      let made = try opsledger.json("proposal", "submit", input: template)
      return try #require(made["proposal_id"]?.stringValue)
    }
    let high = template("high")
    _ = try proposal(
      template("low", #"{"kind": "noop", "max_retries": 0, "params": {"error": "no"}}"#))
    _ = try opsledger("worker")
    try ledger.execute(
      """
      INSERT INTO ops_agent_reactions (status, payload) VALUES
        ('failed', '{"proposal_template": {"title": "t", "steps": [{"kind": "noop"}]}}')
      """)
    func id(_ table: String, _ status: String) throws -> String {
      try #require(try ledger.lines("SELECT id FROM \(table) WHERE status = '\(status)'").first)
    }
    let hold = try opsledger.json("hold", "place", "--source", "s", "--why", "w")
    let caps = #"{"daily_limit": 7}"#
    let why = ["--why", "w"]
    return [
      Request(command: "event emit", arguments: ["a:b"]),
      Request(command: "event emit", arguments: ["a:b", "--dedupe", "d"]),
      Request(command: "event emit", arguments: ["a:b", "--data", "-"], input: #"{"c": 1}"#),
      Request(command: "proposal submit", input: high),
      Request(command: "proposal approve", arguments: [try proposal(high)] + why),
      Request(command: "proposal reject", arguments: [try proposal(high)] + why),
      Request(
        command: "proposal vote",
        arguments: [try proposal(high), "approve", "--as", "sage"], other: why),
      Request(
        command: "policy set", arguments: ["proposal_caps", "--file", "-"] + why, input: caps),
      Request(command: "policy rollback", arguments: ["proposal_caps", "1"] + why),
      Request(
        command: "policy import", arguments: ["--file", "-"] + why,
        input: #"{"proposal_caps": \#(caps)}"#),
      Request(
        command: "step retry", arguments: [try id("ops_mission_steps", "failed")] + why),
      Request(
        command: "reaction retry", arguments: [try id("ops_agent_reactions", "failed")] + why),
      Request(command: "executor pause", arguments: ["noop"] + why),
      Request(command: "executor resume", arguments: ["noop"] + why),
      Request(command: "hold place", arguments: ["--source", "s"] + why),
      Request(
        command: "hold release", arguments: [try #require(hold["hold_id"]?.stringValue)] + why),
      Request(command: "halt", arguments: why),
      Request(command: "resume", arguments: why),
    ]
  }

  @Test("a key is a UUID, and stands for what was in a file as well")
  func contents() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      let wrong = try opsledger("event", "emit", "a:b", "--key", "1")
      #expect(wrong.errors.hasPrefix("error OPS_019: "))
      let key = newCommandID().description
      func set(_ value: String) throws -> LedgerProgram.Answer {
        try opsledger(
          "policy", "set", "proposal_caps", "--file", "-", "--why", "w", "--key", key, input: value)
      }
      #expect(try set(#"{"daily_limit": 7}"#).code == 0)
      #expect(try set(#"{"daily_limit": 8}"#).errors.hasPrefix("error OPS_012: "))
    }
  }

  @Test(
    "under a key all dead steps are queued again in one entry, and those that die later are not")
  func bulk() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      func die() throws {
        let step = #"{"kind": "noop", "max_retries": 0, "params": {"error": "no"}}"#
        for _ in 0..<3 {
          _ = try opsledger(
            "proposal", "submit",
            input: #"{"title": "t", "risk_level": "low", "steps": [\#(step)]}"#)
        }
        _ = try opsledger("worker")
      }
      try die()
      let key = newCommandID().description
      func retry(_ limit: String = "1000") throws -> LedgerProgram.Answer {
        try opsledger(
          "step", "retry", "--dead", "--why", "w", "--key", key, "--limit", limit, "--json")
      }
      let first = try retry()
      #expect(first.json["retried"] == .int(3))
      _ = try opsledger("worker")
      #expect(try retry().output == first.output)
      #expect(try ledger.count("ops_mission_steps WHERE status = 'queued'") == 0)
      #expect(try retry("1001").errors.hasPrefix("error OPS_019: "))
    }
  }
}
