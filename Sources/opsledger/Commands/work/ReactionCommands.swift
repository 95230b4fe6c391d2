import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `reaction list|show|retry`: the reactions of patterns to agent events.
enum ReactionCommands {
  static let all = [list, show, retry]

  static let list = Command(
    group: .work, name: "reaction list", summary: "list reactions, the newest first",
    options: [
      .value("status", "S", "only queued, processing, done or failed ones"),
      .value("event", "ID", "only reactions to this agent event"),
      .value("pattern", "P", "only reactions of this pattern"), .limit,
    ],
    examples: [
      "reaction list --status failed": "which reactions failed, and why?"
    ]
  ) { (call) throws(OpsError) in
    let status = try call.label("status", as: Reaction.Status.self)
    let event = try call.id(option: "event", of: "event")
    let limit = try call.limit()
    let reactions = try call.session().list(
      .reactions(status: status, event: event, pattern: call.text("pattern"), limit: limit))
    call.print(
      reactions, none: "no reactions",
      [
        .whole("ID") { $0.id.description }, .whole("STATUS") { $0.status.rawValue },
        .whole("QUEUED (UTC)") { Shown.time($0.createdAt) },
        .words("PATTERN") { payload($0)["pattern_id"]?.stringValue ?? "" },
        .words("EVENT") { payload($0)["event_type"]?.stringValue ?? "" },
        .words("RESULT") { Shown.brief(outcome(payload($0)), 120) },
      ])
    return .fine
  }

  private static func payload(_ reaction: Reaction) -> JSON {
    (try? JSON(parsing: reaction.payload)) ?? .null
  }

  private static func outcome(_ payload: JSON) -> String {
    if let error = payload["error"]?.stringValue { return error }
    guard let result = payload["result"] else { return "" }
    let status = result["r_status"]?.stringValue ?? "?"
    let reason = result["r_reason"]?.stringValue.map { ": \($0)" } ?? ""
    return "proposal \(result["r_proposal_id"]?.stringValue ?? "?"), \(status)\(reason)"
  }

  static let show = Command(
    group: .work, name: "reaction show",
    summary: "show one reaction, its agent event and its proposal",
    arguments: [.id("the reaction's")],
    examples: [
      "reaction show \(Command.someID)": "reaction list shows ids"
    ]
  ) { (call) throws(OpsError) in
    let story = try call.session().story(ofReaction: call.id(0, of: "reaction"))
    call.print(story.reaction.facts + "\n" + Facts.text(facts(story))) { json(story, &$0) }
    return .fine
  }

  private static func facts(_ story: ReactionStory) -> [(String, String)] {
    var facts: [(String, String)] = []
    if let event = story.event {
      facts.append(
        ("agent event", "\(event.type) \(event.id), reported \(Shown.time(event.createdAt))"))
    }
    if let proposal = story.proposal {
      facts.append(("proposal", "\(proposal.id), \(proposal.status.rawValue)"))
    }
    if let mission = story.mission { facts.append(("mission", mission.description)) }
    facts += story.events.map { event in
      (
        Shown.time(event.recordedAt), "\(what(event)) (entry \(event.entry), by \(event.actor))"
      )
    }
    if story.reaction.mayBeRetried, !story.reaction.isErased {
      facts.append(("do", "opsledger reaction retry \(story.reaction.id) --why …"))
    }
    return facts
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

  private static func json(_ story: ReactionStory, _ out: inout JSONObjectWriter) {
    story.reaction.write(to: &out)
    out.optional("event_type", story.event?.type)
    out.optional("proposal_id", story.proposal?.id.description)
    out.optional("proposal_status", story.proposal?.status.rawValue)
    out.optional("mission_id", story.mission?.description)
    out.bool("may_be_retried", story.reaction.mayBeRetried && !story.reaction.isErased)
    out.list("events", story.events) { $0.write(to: &$1) }
  }

  static let retry = Command(
    group: .work, name: "reaction retry",
    summary: "queue a failed reaction again, or one whose proposal a cap rejected",
    arguments: [.init(name: "ID", help: "the reaction's id", isOptional: true)],
    options: [
      .flag("failed", "every failed reaction, instead of one"),
      .flag("refused", "every reaction whose proposal a cap rejected"),
      .value("pattern", "P", "with --failed or --refused: only reactions of this pattern"),
      .value("limit", "N", "with --failed or --refused: at most N, the oldest first (1000)"),
      .why, .key,
    ],
    notes: [
      "The next heartbeat submits the proposal again, under the policies of then. A reaction that has a proposal stays."
    ],
    examples: [
      "reaction retry \(Command.someID) --why 'the template is fixed'": "one reaction",
      "reaction retry --refused --why 'the cap was raised'": "all rejected ones",
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
        "reaction retry needs a reaction's ID, or --failed or --refused for all",
        hint: "see `opsledger reaction list --status failed`")
    }
    guard isBulk || filter.pattern == nil else {
      throw .badInput("--pattern needs --failed or --refused")
    }
    let engine = try call.engine()
    var retried = 1
    if isBulk {
      retried = try engine.retryReactions(filter, why: why)
    } else {
      try engine.retryReaction(try call.id(0, of: "reaction"), why: why)
    }
    call.print("\(Shown.count(retried, "reaction")) queued again") { $0.int("retried", retried) }
    return .fine
  }
}
