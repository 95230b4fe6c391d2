import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `proposal submit|list|show|approve|reject|vote`.
enum ProposalCommands {
  static let all = [submit, list, show, approve, reject, vote]

  static let submit = Command(
    group: .work, name: "proposal submit", summary: "propose a mission",
    options: [
      .init(name: "file", value: "F|-", help: "the template, as JSON; - is standard input (-)"),
      .init(
        name: "dedupe", value: "KEY", help: "the same key again proposes nothing, and says which"),
      .init(name: "source", value: "S", help: "manual, api, trigger or reaction (manual)"),
      .key,
    ],
    notes: [
      "Exit 0 once it is recorded, also where the gate refused it: the reason then begins OPS_003. "
        + "A template that cannot run is refused, with the path of what is wrong, and leaves nothing.",
      "A template: {\"title\": \"Look into build 1042\", \"risk_level\": \"low\", \"steps\": [{\"kind\": \"\(Noop.name)\"}, "
        + "{\"kind\": \"\(RadarExecutor.name)\", \"params\": {\"action\": \"list\"}, \"max_retries\": 2, \"needs\": [0]}]}. A step's kind "
        + "names its executor, unless it has an executor of its own; needs counts steps from 0.",
    ],
    examples: [
      .init(
        line: "proposal submit --file mission.json --dedupe release-12",
        meaning: "once, however often it is called")
    ]
  ) { (call) throws(OpsError) in
    let source = try call.label("source", as: Proposal.Source.self) ?? .manual
    let key = try EventCommands.dedupeKey(call)
    let path = call.text("file") ?? "-"
    let text = try call.content(ofFile: path, bytesMax: Template.textBytesMax)
    let template = try EventCommands.parse(text, path == "-" ? "standard input" : path)
    let outcome = try call.engine().submit(template, source: source, dedupeKey: key)
    if call.wantsJSON {
      Output.standard.line(json(outcome))
    } else {
      var facts = [
        ("proposal", outcome.proposalID.description), ("status", outcome.status.rawValue),
      ]
      if let mission = outcome.missionID { facts.append(("mission", mission.description)) }
      if let reason = outcome.reason { facts.append(("reason", reason)) }
      Output.standard.write(Facts.text(facts))
    }
    return .fine
  }

  private static func json(_ outcome: SubmissionOutcome) -> String {
    var out = JSONObjectWriter()
    out.string("proposal_id", outcome.proposalID.description)
    out.string("status", outcome.status.rawValue)
    out.json("mission_id", .optional(outcome.missionID?.description))
    out.json("reason", .optional(outcome.reason))
    return out.finish()
  }

  static let list = Command(
    group: .work, name: "proposal list", summary: "list proposals, the newest first",
    options: [
      .init(
        name: "status", value: "S",
        help: "only pending, voting, approved, auto_approved or rejected"),
      .init(name: "source", value: "S", help: "only from manual, api, trigger or reaction"), .limit,
    ],
    examples: [.init(line: "proposal list --status pending", meaning: "what waits for somebody")]
  ) { (call) throws(OpsError) in
    let status = try call.label("status", as: Proposal.Status.self)
    let source = try call.label("source", as: Proposal.Source.self)
    let limit = try call.limit()
    let proposals = try call.session().list(
      .proposals(status: status, source: source, limit: limit))
    printRows(
      proposals, call, none: "no proposals",
      { table, proposal in
        let template = (try? JSON(parsing: proposal.template)) ?? .null
        table.add([
          proposal.id.description, proposal.status.rawValue, proposal.source.rawValue,
          Shown.time(proposal.createdAt), template["risk_level"]?.stringValue ?? "",
          template["title"]?.stringValue ?? "", Shown.brief(proposal.reason, 80),
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false), .init(title: "STATUS", canShrink: false),
        .init(title: "SOURCE", canShrink: false), .init(title: "SUBMITTED (UTC)", canShrink: false),
        .init(title: "RISK", canShrink: false), .init(title: "TITLE"), .init(title: "REASON"),
      ])
    return .fine
  }

  static let show = Command(
    group: .work, name: "proposal show",
    summary: "show one proposal, how it was decided, or what is missing",
    arguments: [.init(name: "ID", help: "the proposal's id")],
    examples: [
      .init(
        line: "proposal show 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f",
        meaning: "why it was or was not approved by itself, who voted, what is missing")
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    let engine = try call.engine()
    let story = try engine.session.story(ofProposal: id)
    let decision = ProposalDecision(story, try engine.policies())
    if call.wantsJSON {
      Output.standard.line(decision.json)
    } else {
      printRow(story.proposal, call)
      Output.standard.write("\n" + Facts.text(decision.facts))
    }
    return .fine
  }

  static let vote = Command(
    group: .work, name: "proposal vote",
    summary: "vote over a proposal, as a role; the vote that decides it makes its mission",
    arguments: [
      .init(name: "ID", help: "the proposal's id"),
      .init(name: "approve|reject|abstain", help: "the vote; a role that votes again changes it"),
    ],
    options: [
      .init(name: "why", value: "W", help: "the reason, which history keeps"), .key,
    ],
    notes: [
      "The role is given by --as: one that policy agent_roles or voting_policy named when the vote was called; any "
        + "other is refused (OPS_013). Who really sat there is kept, and proposal show says where one login "
        + "cast several votes. It is approved when it has as many approvals as its risk wants "
        + "and every required voter has voted; with a veto, one vote against it rejects it. The rules "
        + "are those of policy voting_policy when the vote was called."
    ],
    examples: [
      .init(
        line: "proposal vote 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f approve --as sage --why 'cheap'",
        meaning: "what is missing then is said")
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    guard let vote = Proposal.Vote(rawValue: call.argument(1)) else {
      throw .badInput("a vote is approve, reject or abstain, not \(call.argument(1))")
    }
    guard let role = call.text("as") else {
      throw .badInput("a vote wants a role: --as ROLE", hint: "like --as sage")
    }
    let why = try call.prose("why")
    let outcome = try call.engine().vote(vote, on: id, as: role, why: why)
    if call.wantsJSON {
      Output.standard.line(json(outcome, of: id))
    } else {
      Output.standard.line(Terminal.printable(line(outcome, role, vote)))
    }
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

  private static func json(_ outcome: VoteOutcome, of id: StreamID) -> String {
    var out = JSONObjectWriter()
    out.string("proposal_id", id.description)
    out.string("status", outcome.status.rawValue)
    out.json("mission_id", .optional(outcome.missionID?.description))
    if case .open(let approvals, let voters) = outcome.consensus {
      out.int("approvals_missing", approvals)
      out.json("voters_missing", .array(voters.map(JSON.string)))
    }
    return out.finish()
  }

  static let approve = Command(
    group: .work, name: "proposal approve", summary: "approve a proposal, which makes its mission",
    arguments: [.init(name: "ID", help: "the proposal's id")], options: [.why, .key],
    notes: ["Approving what is approved is no error, and names the same mission."],
    examples: [
      .init(
        line: "proposal approve 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f --why 'agreed with Ann'",
        meaning: "history keeps who and why")
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    let why = try call.prose("why")
    let mission = try call.engine().approve(id, why: why)
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.string("proposal_id", id.description)
      out.string("mission_id", mission.description)
      Output.standard.line(out.finish())
    } else {
      Output.standard.line("approved; its mission is \(mission)")
    }
    return .fine
  }

  static let reject = Command(
    group: .work, name: "proposal reject", summary: "reject a proposal",
    arguments: [.init(name: "ID", help: "the proposal's id")], options: [.why, .key],
    examples: [
      .init(
        line: "proposal reject 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f --why 'too risky'",
        meaning: "it gets no mission")
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    let why = try call.prose("why")
    try call.engine().reject(id, why: why)
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.string("proposal_id", id.description)
      out.string("status", Proposal.Status.rejected.rawValue)
      Output.standard.line(out.finish())
    } else {
      Output.standard.line("rejected")
    }
    return .fine
  }
}
