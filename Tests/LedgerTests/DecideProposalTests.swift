import JSON
import Ledger
import TestSupport
import Testing

@Suite("What may be done with a proposal")
struct DecideProposalTests {
  private static func proposal(_ status: Proposal.Status) -> Proposal {
    var proposal = Proposal(blank: Fixed.id(1))
    proposal.status = status
    return proposal
  }

  @Test("approving and rejecting in every status", arguments: Proposal.Status.allCases)
  func everyPair(status: Proposal.Status) throws {
    let proposal = Self.proposal(status)
    switch status {
    case .pending, .voting:
      #expect(
        try Proposal.decide(.approve(reason: "yes"), given: proposal) == [.approved(reason: "yes")])
      #expect(
        try Proposal.decide(.reject(reason: "no"), given: proposal) == [.rejected(reason: "no")])
    case .approved, .autoApproved:
      #expect(try Proposal.decide(.approve(reason: nil), given: proposal) == [])
      let error = #expect(throws: OpsError.self) {
        try Proposal.decide(.reject(reason: nil), given: proposal)
      }
      #expect(error?.code == .conflict)
    case .rejected:
      #expect(try Proposal.decide(.reject(reason: nil), given: proposal) == [])
      let error = #expect(throws: OpsError.self) {
        try Proposal.decide(.approve(reason: nil), given: proposal)
      }
      #expect(error?.code == .conflict)
    }
  }
}

@Suite("What the gate and auto-approval say")
struct GateTests {
  private func caps(_ text: String) throws -> ProposalCaps { try ProposalCaps(JSON(parsing: text)) }

  @Test("the daily cap refuses the proposal after the last one")
  func daily() throws {
    let caps = try caps(#"{"daily_limit": 2}"#)
    #expect(caps.reached(by: .api, today: ProposalCounts(bySource: [.api: 1])) == nil)
    let reached = caps.reached(by: .manual, today: ProposalCounts(bySource: [.api: 2]))
    #expect(reached?.cap == .daily)
    #expect(reached?.count == 2)
  }

  @Test("a source's cap counts only that source, under either spelling")
  func perSource() throws {
    for spelling in ["per_source", "per_source_limits"] {
      let caps = try caps(#"{"\#(spelling)": {"api": 1}}"#)
      #expect(caps.reached(by: .manual, today: ProposalCounts(bySource: [.api: 5])) == nil)
      #expect(caps.reached(by: .api, today: ProposalCounts(bySource: [.api: 1]))?.cap == .source)
    }
  }

  @Test("0, null and absence mean no cap")
  func none() throws {
    for text in ["{}", #"{"daily_limit": null}"#, #"{"daily_limit": 0}"#] {
      let many = ProposalCounts(bySource: [.api: 1_000_000])
      #expect(try caps(text).reached(by: .api, today: many) == nil)
    }
  }

  @Test(
    "what is no cap is refused",
    arguments: [
      #"{"daily_limit": -1}"#, #"{"daily_limit": 1.5}"#, #"{"daily_limit": "100"}"#,
      #"{"daily_limit": 1e99}"#, #"{"per_source": {"nobody": 1}}"#, #"{"per_source": []}"#, "[]",
    ])
  func badCaps(text: String) {
    expectRefusal(.badInput) { try caps(text) }
  }

  @Test(
    "auto-approval asks for risk, kinds and executors",
    arguments: [
      (#"{"enabled": false}"#, "low", "noop", false),
      (#"{"enabled": true}"#, "high", "noop", true),
      (#"{"enabled": true, "max_risk_level": "low"}"#, "low", "noop", true),
      (#"{"enabled": true, "max_risk_level": "low"}"#, "medium", "noop", false),
      (#"{"enabled": true, "allowed_step_kinds": ["radar"]}"#, "low", "noop", false),
      (#"{"enabled": true, "allowed_step_kinds": ["noop"]}"#, "low", "radar", false),
      (
        #"{"enabled": true, "allowed_step_kinds": ["noop"], "allowed_executors": ["radar"]}"#,
        "low", "radar", true
      ),
      (#"{"enabled": true, "allowed_step_kinds": []}"#, "low", "noop", false),
      ("{}", "low", "noop", false),
    ])
  func autoApproval(policy: String, risk: String, executor: String, approves: Bool) throws {
    let text =
      #"{"risk_level": "\#(risk)", "steps": [{"kind": "noop", "executor": "\#(executor)"}]}"#
    let template = try Template(JSON(parsing: text), executors: ["noop", "radar"])
    let autoApprovalRefusal = try AutoApprove(JSON(parsing: policy)).autoApprovalRefusal(
      to: template)
    #expect((autoApprovalRefusal == nil) == approves)
  }

  @Test("a missing risk level counts as medium")
  func missingRisk() throws {
    let template = try Template(
      JSON(parsing: #"{"steps": [{"kind": "noop"}]}"#), executors: ["noop"])
    #expect(template.risk == .medium)
  }
}

@Suite("Templates")
struct TemplateTests {
  @Test(
    "what is wrong is refused with its path",
    arguments: [
      ("[]", "template"), ("{}", "steps"), (#"{"steps": []}"#, "steps"),
      (#"{"steps": {}}"#, "steps"), (#"{"steps": [1]}"#, "steps[0]"),
      (#"{"steps": [{}]}"#, "steps[0].kind"), (#"{"steps": [{"kind": ""}]}"#, "steps[0].kind"),
      (#"{"steps": [{"kind": "noop", "params": []}]}"#, "steps[0].params"),
      (#"{"steps": [{"kind": "noop", "max_retries": -1}]}"#, "steps[0].max_retries"),
      (#"{"steps": [{"kind": "noop", "max_retries": 1.5}]}"#, "steps[0].max_retries"),
      (#"{"steps": [{"kind": "noop", "needs": [0]}]}"#, "steps[0].needs"),
      (#"{"steps": [{"kind": "noop", "needs": [1]}]}"#, "steps[0].needs"),
      (
        #"{"steps": [{"kind": "noop", "needs": [1]}, {"kind": "noop", "needs": [0]}]}"#,
        "steps[0].needs"
      ),
      (#"{"title": 1, "steps": [{"kind": "noop"}]}"#, "title"),
      (#"{"risk_level": "none", "steps": [{"kind": "noop"}]}"#, "risk_level"),
      (#"{"parallel": 1, "steps": [{"kind": "noop"}]}"#, "parallel"),
    ])
  func refused(text: String, path: String) throws {
    let value = try JSON(parsing: text)
    let error = #expect(throws: OpsError.self) { try Template(value, executors: ["noop"]) }
    #expect(error?.code == .templateInvalid)
    #expect(error?.facts["path"] == path)
  }

  @Test("an executor that nobody has is OPS_005; none named is the one called like the kind")
  func executors() throws {
    let error = #expect(throws: OpsError.self) {
      try Template(JSON(parsing: #"{"steps": [{"kind": "deploy"}]}"#), executors: ["noop"])
    }
    #expect(error?.code == .executorNotFound)
    let template = try Template(
      JSON(parsing: #"{"steps": [{"kind": "tidy", "executor": "noop"}, {"kind": "noop"}]}"#),
      executors: ["noop"])
    #expect(template.steps.map(\.executor) == ["noop", "noop"])
  }

  @Test("steps wait for the one before, for none, or for those that they name")
  func needs() throws {
    func needs(_ text: String) throws -> [[Int32]] {
      try Template(JSON(parsing: text), executors: ["noop"]).steps.map(\.needs)
    }
    let three = #"[{"kind": "noop"}, {"kind": "noop"}, {"kind": "noop"}]"#
    #expect(try needs(#"{"steps": \#(three)}"#) == [[], [0], [1]])
    #expect(try needs(#"{"parallel": true, "steps": \#(three)}"#) == [[], [], []])
    #expect(
      try needs(
        #"{"steps": [{"kind": "noop"}, {"kind": "noop", "needs": []}, {"kind": "noop", "needs": [0, 1]}]}"#
      ) == [[], [], [0, 1]])
  }
}
