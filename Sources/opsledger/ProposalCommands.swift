import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `proposal submit|list|show|approve|reject`.
enum ProposalCommands {
  static let all = [submit, list, show, approve, reject]

  private static let id = Command.Argument(name: "ID", help: "the proposal")

  static let submit = Command(
    group: .work, name: "proposal submit", summary: "propose work",
    options: [
      .init(name: "file", value: "F|-", help: "the template, as JSON (- or absent: stdin)"),
      .init(name: "dedupe", value: "KEY", help: "the same key again names the same proposal"),
      .init(name: "source", value: "S", help: "api, trigger, reaction or manual (manual)"),
    ],
    notes: [
      "The gate may refuse it (OPS_003), which is recorded and no error; policy auto_approve may "
        + "approve it at once; otherwise it waits for proposal approve or reject."
    ],
    examples: [
      .init(
        line: "proposal submit --file tidy.json --dedupe tidy-2026-11",
        meaning: "docs/templates.md says what a template holds")
    ]
  ) { (call) throws(OpsError) in
    let text = try call.content(ofFile: call.text("file") ?? "-")
    let template = try EventCommands.parse(text, "the template")
    let source = try call.label("source", as: Proposal.Source.self) ?? .manual
    let outcome = try call.engine().submit(
      template, source: source, dedupeKey: EventCommands.dedupeKey(call))
    if call.wantsJSON {
      Output.standard.line(
        JSON.object([
          "proposal_id": .string(outcome.proposalID.description),
          "status": .string(outcome.status.rawValue),
          "mission_id": .optional(outcome.missionID?.description),
          "reason": .optional(outcome.reason),
        ]).text)
    } else {
      Output.standard.line(said(outcome))
    }
    return .fine
  }

  private static func said(_ outcome: SubmissionOutcome) -> String {
    var line = "proposal \(outcome.proposalID) \(outcome.status.rawValue)"
    if let mission = outcome.missionID { line += ", mission \(mission)" }
    if let reason = outcome.reason { line += ": \(reason)" }
    return line
  }

  static let list = Command(
    group: .work, name: "proposal list", summary: "list proposals, the newest first",
    options: [
      .init(
        name: "status", value: "S", help: "pending, approved, rejected, auto_approved or voting"),
      .init(name: "source", value: "S", help: "api, trigger, reaction or manual"), .limit,
    ],
    examples: [.init(line: "proposal list --status pending", meaning: "what waits for a decision")]
  ) { (call) throws(OpsError) in
    let proposals = try call.session().list(
      .proposals(
        status: call.label("status", as: Proposal.Status.self),
        source: call.label("source", as: Proposal.Source.self), limit: call.limit()))
    printRows(
      proposals, call, none: "no proposals",
      { table, proposal in
        table.add([
          proposal.id.description, Shown.time(proposal.createdAt), proposal.source.rawValue,
          proposal.status.rawValue, Shown.title(of: proposal), Shown.brief(proposal.reason, 80),
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false), .init(title: "SUBMITTED (UTC)", canShrink: false),
        .init(title: "SOURCE", canShrink: false), .init(title: "STATUS", canShrink: false),
        .init(title: "TITLE"), .init(title: "REASON"),
      ])
    return .fine
  }

  static let show = Command(
    group: .work, name: "proposal show", summary: "show one proposal", arguments: [id],
    examples: [.init(line: "proposal show ID", meaning: "its template, and who decided it")]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    let proposal: Proposal = try call.session().find(id, as: "proposal")
    printRow(proposal, call)
    return .fine
  }

  static let approve = Command(
    group: .work, name: "proposal approve", summary: "approve a proposal, and make its mission",
    arguments: [id], options: [.why],
    notes: ["Approving again is no error and names the same mission."],
    examples: [.init(line: "proposal approve ID --why 'worth an hour'", meaning: "as yourself")]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    let mission = try call.engine().approve(id, why: call.prose("why"))
    if call.wantsJSON {
      Output.standard.line(
        JSON.object([
          "proposal_id": .string(id.description), "mission_id": .string(mission.description),
        ]).text)
    } else {
      Output.standard.line("approved: mission \(mission)")
    }
    return .fine
  }

  static let reject = Command(
    group: .work, name: "proposal reject", summary: "reject a proposal", arguments: [id],
    options: [.why],
    examples: [.init(line: "proposal reject ID --why 'not this quarter'", meaning: "for good")]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "proposal")
    try call.engine().reject(id, why: call.prose("why"))
    if call.wantsJSON {
      Output.standard.line(
        JSON.object(["proposal_id": .string(id.description), "status": .string("rejected")]).text)
    } else {
      Output.standard.line("rejected")
    }
    return .fine
  }
}

extension Shown {
  static func title(of proposal: Proposal) -> String {
    brief((try? JSON(parsing: proposal.template))?["title"]?.stringValue, 60)
  }
}
