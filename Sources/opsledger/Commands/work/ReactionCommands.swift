import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `reaction list|show|retry`: what patterns made of agent events.
enum ReactionCommands {
  static let all = [list, show, retry]

  private static let someID = "01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f"

  static let list = Command(
    group: .work, name: "reaction list", summary: "list reactions, the newest first",
    options: [
      .init(name: "status", value: "S", help: "only queued, processing, done or failed"),
      .init(name: "event", value: "ID", help: "only those to this agent event"),
      .init(name: "pattern", value: "P", help: "only those of this pattern"), .limit,
    ],
    examples: [
      .init(
        line: "reaction list --status failed", meaning: "what patterns wanted, and could not have")
    ]
  ) { (call) throws(OpsError) in
    let status = try call.label("status", as: Reaction.Status.self)
    let event = try call.id(option: "event", of: "event")
    let limit = try call.limit()
    let reactions = try call.session().list(
      .reactions(status: status, event: event, pattern: call.text("pattern"), limit: limit))
    printRows(
      reactions, call, none: "no reactions",
      { table, reaction in
        let payload = (try? JSON(parsing: reaction.payload)) ?? .null
        table.add([
          reaction.id.description, reaction.status.rawValue, Shown.time(reaction.createdAt),
          payload["pattern_id"]?.stringValue ?? "", payload["event_type"]?.stringValue ?? "",
          Shown.brief(outcome(payload), 120),
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false), .init(title: "STATUS", canShrink: false),
        .init(title: "QUEUED (UTC)", canShrink: false), .init(title: "PATTERN"),
        .init(title: "EVENT"), .init(title: "CAME TO"),
      ])
    return .fine
  }

  /// What a reaction came to, as its payload has it.
  private static func outcome(_ payload: JSON) -> String {
    if let error = payload["error"]?.stringValue { return error }
    guard let result = payload["result"] else { return "" }
    let status = result["r_status"]?.stringValue ?? "?"
    let reason = result["r_reason"]?.stringValue.map { ": \($0)" } ?? ""
    return "proposal \(result["r_proposal_id"]?.stringValue ?? "?"), \(status)\(reason)"
  }

  static let show = Command(
    group: .work, name: "reaction show",
    summary: "show one reaction, the event that it answers and what came of it",
    arguments: [.init(name: "ID", help: "the reaction's id")],
    examples: [
      .init(line: "reaction show \(someID)", meaning: "its template, its proposal, each attempt")
    ]
  ) { (call) throws(OpsError) in
    let story = try call.session().story(ofReaction: call.id(0, of: "reaction"))
    if call.wantsJSON {
      Output.standard.line(json(story))
    } else {
      printRow(story.reaction, call)
      Output.standard.write("\n" + Facts.text(facts(story)))
    }
    return .fine
  }

  private static func facts(_ story: ReactionStory) -> [(String, String)] {
    var facts: [(String, String)] = []
    if let event = story.event {
      facts.append(
        ("answers", "\(event.type) \(event.id), reported \(Shown.time(event.createdAt))"))
    }
    if let proposal = story.proposal {
      facts.append(("proposal", "\(proposal.id), \(proposal.status.rawValue)"))
    }
    if let mission = story.mission { facts.append(("mission", mission.description)) }
    for event in story.events { facts.append((Shown.time(event.recordedAt), words(event))) }
    if story.reaction.mayBeRetried, !story.reaction.isErased {
      facts.append(("do", "opsledger reaction retry \(story.reaction.id) --why …"))
    }
    return facts
  }

  private static func words(_ event: LoggedEvent) -> String {
    "\(what(event)) (entry \(event.entry), by \(event.actor))"
  }

  private static func what(_ event: LoggedEvent) -> String {
    func said(_ text: String?) -> String { text.map { ": \($0)" } ?? "" }
    guard case .reaction(let kind) = EventType(event.type) else { return event.type }
    do throws(Unreadable) {
      return switch try event.decoded(kind) {
      case .own(.queued): "queued"
      case .own(.done(let outcome)):
        "done, its proposal is \(outcome.status.rawValue)\(said(outcome.reason))"
      case .own(.failed(_, let error)): "failed\(said(error))"
      case .own(.retried(let why)): "queued again\(said(why))"
      case .common: event.type
      }
    } catch {
      return "\(event.type), which cannot be read: \(error.reason)"
    }
  }

  private static func json(_ story: ReactionStory) -> String {
    var out = JSONObjectWriter()
    for column in Reaction.columns { column.get(story.reaction).write(to: &out, as: column.name) }
    out.json("event_type", .optional(story.event?.type))
    out.json("proposal_id", .optional(story.proposal?.id.description))
    out.json("proposal_status", .optional(story.proposal?.status.rawValue))
    out.json("mission_id", .optional(story.mission?.description))
    out.bool("may_be_retried", story.reaction.mayBeRetried && !story.reaction.isErased)
    out.raw("events", "[" + story.events.map(\.json).joined(separator: ",\n ") + "]")
    return out.finish()
  }

  static let retry = Command(
    group: .work, name: "reaction retry",
    summary: "queue a reaction again that failed, or whose proposal a cap refused",
    arguments: [.init(name: "ID", help: "the reaction's id", isOptional: true)],
    options: [
      .init(name: "failed", help: "every one that failed, instead of one"),
      .init(name: "refused", help: "every one whose proposal a cap refused"),
      .init(name: "pattern", value: "P", help: "with --failed or --refused: only of this pattern"),
      .init(
        name: "limit", value: "N",
        help: "with --failed or --refused: at most so many, the oldest first (1000)"),
      .why, .key,
    ],
    notes: [
      "The next heartbeat proposes it anew, under the policies of then. One that has its proposal is left alone."
    ],
    examples: [
      .init(line: "reaction retry \(someID) --why 'the template is mended'", meaning: "one"),
      .init(line: "reaction retry --refused --why 'the cap was raised'", meaning: "in bulk"),
    ]
  ) { (call) throws(OpsError) in
    let why = try call.prose("why")
    let limit = try call.integer("limit", in: 1...1_000_000) ?? 1000
    let filter = ReactionFilter(
      failed: call.flag("failed"), refused: call.flag("refused"), pattern: call.text("pattern"),
      limit: limit)
    let isBulk = filter.failed || filter.refused
    guard call.arguments.isEmpty == isBulk else {
      throw .badInput(
        "name one reaction, or --failed or --refused for all",
        hint: "see `opsledger reaction list --status failed`")
    }
    guard isBulk || filter.pattern == nil else {
      throw .badInput("--pattern chooses among --failed and --refused")
    }
    let engine = try call.engine()
    var retried = 1
    if isBulk {
      retried = try engine.retryReactions(filter, why: why)
    } else {
      try engine.retryReaction(try call.id(0, of: "reaction"), why: why)
    }
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.int("retried", retried)
      Output.standard.line(out.finish())
    } else {
      Output.standard.line(Shown.count(retried, "reaction") + " queued again")
    }
    return .fine
  }
}
