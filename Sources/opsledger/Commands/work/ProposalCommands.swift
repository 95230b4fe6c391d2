import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `proposal submit|list|show|approve|reject|vote`.
enum ProposalCommands {
  static let all = [submit, list, show, approve, reject, vote]

  static let submit = Command(
    group: .work, name: "proposal submit", summary: "propose a mission with its steps",
    options: [
      .value("file", "F|-", "the template, as JSON; - is standard input (-)"),
      .value(
        "dedupe", "KEY", "a second proposal with this key is not recorded; prints the first one"),
      .value("source", "S", "manual, api, trigger or reaction (manual)"),
      .key,
    ],
    notes: [
      "Exit 0 if the proposal is recorded. policy proposal_caps may have rejected it: the reason then begins with "
        + "OPS_003. An invalid template is not recorded; the error names the wrong field.",
      "A template: {\"title\": \"Look into build 1042\", \"risk_level\": \"low\", \"steps\": [{\"kind\": \"\(Noop.name)\"}, "
        + "{\"kind\": \"\(RadarExecutor.name)\", \"params\": {\"action\": \"list\"}, \"max_retries\": 2, \"needs\": [0]}]}. A step's kind "
        + "names its executor, unless the step has a field executor; needs counts steps from 0.",
    ],
    examples: [
      "proposal submit --file mission.json --dedupe release-12":
        "one proposal, even if it is submitted again"
    ]
  ) { (call) throws(OpsError) in
    let source = try call.label("source", as: Proposal.Source.self) ?? .manual
    let key = try EventCommands.dedupeKey(call)
    let template = try call.jsonFile(bytesMax: Template.textBytesMax)
    let outcome = try call.engine().submit(template, source: source, dedupeKey: key)
    var facts = [
      ("proposal", outcome.proposalID.description), ("status", outcome.status.rawValue),
    ]
    if let mission = outcome.missionID { facts.append(("mission", mission.description)) }
    if let reason = outcome.reason { facts.append(("reason", reason)) }
    call.print(Facts.text(facts)) { json(outcome, &$0) }
    return .fine
  }

  private static func json(_ outcome: SubmissionOutcome, _ out: inout JSONObjectWriter) {
    out.string("proposal_id", outcome.proposalID.description)
    out.string("status", outcome.status.rawValue)
    out.optional("mission_id", outcome.missionID?.description)
    out.optional("reason", outcome.reason)
  }

  static let list = Command(
    group: .work, name: "proposal list", summary: "list proposals, the newest first",
    options: [
      .value("status", "S", "only pending, voting, approved, auto_approved or rejected ones"),
      .value("source", "S", "only from manual, api, trigger or reaction"), .limit,
    ],
    examples: ["proposal list --status pending": "which proposals wait for a person?"]
  ) { (call) throws(OpsError) in
    let status = try call.label("status", as: Proposal.Status.self)
    let source = try call.label("source", as: Proposal.Source.self)
    let limit = try call.limit()
    let proposals = try call.session().list(
      .proposals(status: status, source: source, limit: limit))
    call.print(
      proposals, none: "no proposals",
      [
        .whole("ID") { $0.id.description }, .whole("STATUS") { $0.status.rawValue },
        .whole("SOURCE") { $0.source.rawValue },
        .whole("SUBMITTED (UTC)") { Shown.time($0.createdAt) },
        .whole("RISK") { member("risk_level", of: $0.template) },
        .words("TITLE") { member("title", of: $0.template) },
        .words("REASON") { Shown.brief($0.reason, 80) },
      ])
    return .fine
  }

  private static func member(_ name: String, of template: String) -> String {
    (try? JSON(parsing: template))?[name]?.stringValue ?? ""
  }

  static let show = Command(
    group: .work, name: "proposal show",
    summary: "show one proposal, and how it was decided or what it waits for",
    arguments: [.id("the proposal's")],
    examples: [
      "proposal show \(Command.someID)":
        "was it auto-approved, who voted, what is missing?"
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    let engine = try call.engine()
    let story = try engine.session.story(ofProposal: id)
    let decision = ProposalDecision(story, try engine.policies())
    call.print(story.proposal.facts + "\n" + Facts.text(decision.facts)) { decision.json(&$0) }
    return .fine
  }

  static let vote = Command(
    group: .work, name: "proposal vote",
    summary: "vote on a proposal, as a role; the deciding vote makes its mission",
    arguments: [
      .id("the proposal's"),
      .init(name: "approve|reject|abstain", help: "the vote; a role that votes again changes it"),
    ],
    options: [
      .whyOptional, .key,
    ],
    notes: [
      "--as names the role. Policy agent_roles or voting_policy must have named it when the vote was called (OPS_013). "
        + "The log also records your login; proposal show warns if one login cast several votes.",
      "The proposal is approved when it has the approvals that its risk needs, and every required voter has voted. "
        + "With a veto, one rejection rejects it. The rules are those of policy voting_policy when the vote was called.",
    ],
    examples: [
      "proposal vote \(Command.someID) approve --as sage --why 'cheap'":
        "prints what is still missing"
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    guard let vote = Proposal.Vote(rawValue: call.argument(1)) else {
      throw .badInput("a vote is approve, reject or abstain, not \(call.argument(1))")
    }
    guard let role = call.text("as") else {
      throw .badInput("proposal vote needs a role", hint: "name it with --as ROLE, like --as sage")
    }
    let why = try call.prose("why")
    let outcome = try call.engine().vote(vote, on: id, as: role, why: why)
    call.print(Terminal.printable(line(outcome, role, vote))) { json(outcome, of: id, &$0) }
    return .fine
  }

  private static func line(
    _ outcome: VoteOutcome, _ role: String, _ vote: Proposal.Vote
  ) -> String {
    let cast = "\(role) voted \(vote.rawValue)"
    if let mission = outcome.missionID { return "\(cast); approved: its mission is \(mission)" }
    guard case .open(let approvals, let voters) = outcome.consensus, outcome.status == .voting
    else {
      return "\(cast); it is \(outcome.status.rawValue)"
    }
    var missing: [String] = []
    if approvals > 0 { missing.append(Shown.count(approvals, "approval")) }
    if !voters.isEmpty { missing.append("the vote of \(voters.joined(separator: ", "))") }
    return "\(cast); missing: \(missing.joined(separator: "; "))"
  }

  private static func json(_ outcome: VoteOutcome, of id: StreamID, _ out: inout JSONObjectWriter) {
    out.string("proposal_id", id.description)
    out.string("status", outcome.status.rawValue)
    out.optional("mission_id", outcome.missionID?.description)
    if case .open(let approvals, let voters) = outcome.consensus {
      out.int("approvals_missing", approvals)
      out.list("voters_missing", voters)
    }
  }

  static let approve = Command(
    group: .work, name: "proposal approve", summary: "approve a proposal, which makes its mission",
    arguments: [.id("the proposal's")], options: [.why, .key],
    notes: ["If the proposal is approved already, it prints the same mission, and is no error."],
    examples: [
      "proposal approve \(Command.someID) --why 'agreed with Ann'":
        "prints the mission"
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    let why = try call.prose("why")
    let mission = try call.engine().approve(id, why: why)
    call.print("approved; its mission is \(mission)") { out in
      out.string("proposal_id", id.description)
      out.string("mission_id", mission.description)
    }
    return .fine
  }

  static let reject = Command(
    group: .work, name: "proposal reject", summary: "reject a proposal",
    arguments: [.id("the proposal's")], options: [.why, .key],
    examples: [
      "proposal reject \(Command.someID) --why 'too risky'": "the proposal gets no mission"
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    let why = try call.prose("why")
    try call.engine().reject(id, why: why)
    call.print("rejected") { out in
      out.string("proposal_id", id.description)
      out.string("status", Proposal.Status.rejected.rawValue)
    }
    return .fine
  }
}
