import Host
import JSON
import Ledger
import OpsLoop

/// `policy explain|report`: the effects of policies.
extension PolicyCommands {
  static let explain = Command(
    group: .policy, name: "policy explain",
    summary: "explain, pattern by pattern, what an agent event led to or would lead to",
    arguments: [.init(name: "EVENT_ID|TYPE", help: "an agent event, or a type")],
    options: [
      .value("data", "JSON|@FILE|-", "with TYPE: the data of the event ({})")
    ],
    notes: [
      "For a processed event it prints what was recorded, otherwise what would happen now. It records nothing."
    ],
    examples: [
      "policy explain \(Command.someID)": "event list shows ids",
      "policy explain scout:find --data '{\"summary\": \"Offline mode\"}'":
        "what would such an event lead to?",
    ]
  ) { (call) throws(OpsError) in
    let name = call.argument(0)
    let engine = try call.engine()
    let explanation: EventExplanation
    if let id = StreamID(name) {
      guard call.text("data") == nil else { throw .badInput("--data goes with a TYPE") }
      explanation = try engine.explain(id)
    } else {
      explanation = try engine.explain(type: name, data: try EventCommands.data(call))
    }
    call.print(text(explanation, isKnown: StreamID(name) != nil)) { json(explanation, &$0) }
    return .fine
  }

  private static func text(_ explanation: EventExplanation, isKnown: Bool) -> String {
    let event = explanation.event
    let what = "\(event.type)" + (isKnown ? " \(event.id)" : "")
    let state =
      explanation.isRecorded
      ? "processed \(Shown.time(event.processedAt)):"
      : event.processedAt != nil
        ? "was reported by the loop itself, which does not react to it; a new one would give:"
        : isKnown ? "is not processed yet; it would give:" : "would give:"
    let table = TextTable(
      explanation.patterns,
      [
        .words("PATTERN") { $0.pattern }, .words("ANSWER", answer),
        .words("CONSEQUENCE", consequence),
      ])
    return Terminal.printable("\(what) \(state)") + "\n" + table.text()
  }

  private static func answer(_ pattern: PatternExplanation) -> String {
    let detail = pattern.detail.map { ": \($0)" } ?? ""
    if pattern.matched {
      if let chance = pattern.probability {
        return "matches, with probability \(Shown.decimal(chance))"
      }
      return "matched"
        + (pattern.draw.map { " by its probability (random number \(Shown.decimal($0)))" } ?? "")
    }
    switch pattern.reason {
    case .type: return "another type"
    case .tags: return "the event lacks a tag"
    case .source: return "another source"
    case .condition: return "its condition does not hold"
    case .probability:
      return "not chosen by its probability"
        + (pattern.draw.map { " (random number \(Shown.decimal($0)))" } ?? "")
    case .cooldown: return "it reacted less than its cooldown ago"
    case .template: return "its template cannot be filled" + detail
    case .depth: return "the chain of reactions is too long" + detail
    case nil: return "no reason recorded" + detail
    }
  }

  private static func consequence(_ pattern: PatternExplanation) -> String {
    if let verdict = pattern.verdict { return verdict.words }
    guard pattern.matched, let status = pattern.reactionStatus else { return "" }
    if let proposal = pattern.proposal {
      return "proposal \(proposal), \(pattern.proposalStatus?.rawValue ?? "removed")"
    }
    return "reaction \(status.rawValue)" + (pattern.detail.map { ": \($0)" } ?? "")
  }

  private static func json(_ explanation: EventExplanation, _ out: inout JSONObjectWriter) {
    out.string("event_id", explanation.event.id.description)
    out.string("type", explanation.event.type)
    out.bool("recorded", explanation.isRecorded)
    out.int("causation_depth", explanation.depth)
    out.list("patterns", explanation.patterns, json)
  }

  private static func json(_ pattern: PatternExplanation, _ out: inout JSONObjectWriter) {
    out.string("pattern", pattern.pattern)
    out.bool("matched", pattern.matched)
    out.optional("reason", pattern.reason?.rawValue)
    out.optional("detail", pattern.detail)
    if let draw = pattern.draw { out.json("draw", .number("\(draw)")) }
    if let chance = pattern.probability { out.json("probability", .number("\(chance)")) }
    out.optional("reaction_id", pattern.reaction?.description)
    out.optional("reaction_status", pattern.reactionStatus?.rawValue)
    out.optional("proposal_id", pattern.proposal?.description)
    out.optional(
      "proposal_status", pattern.proposalStatus?.rawValue ?? pattern.verdict?.status?.rawValue)
    out.json("template", pattern.template ?? .null)
    out.optional("verdict", pattern.verdict?.words)
  }

  static let report = Command(
    group: .policy, name: "policy report",
    summary: "report the use of the caps, approvals, and what each pattern led to",
    notes: [
      "Caps count the proposals of a UTC day, without refused ones. The other numbers are of the last 30 days."
    ],
    examples: ["policy report": "for the monthly review"]
  ) { (call) throws(OpsError) in
    let report = try call.engine().policyReport()
    call.print(text(report)) { json(report, &$0) }
    return .fine
  }

  private static func text(_ report: PolicyReport) -> String {
    let today = report.today.values.reduce(0, +)
    let cap = report.dailyMax.map { " of \($0)" } ?? ", no daily cap"
    let all = report.byStatus.values.reduce(0, +)
    let own = report.byStatus["auto_approved"] ?? 0
    let statuses = report.byStatus.sortedByKey.map { "\($0.value) \($0.key)" }
    let sources = report.today.sortedByKey.map { "\($0.value) \($0.key)" }
    let facts = Facts.text([
      ("proposals today", "\(today)\(cap); \(report.refusedToday) refused"),
      ("by source", sources.isEmpty ? "none" : sources.joined(separator: ", ")),
      ("last 24 h", Shown.count(report.last24h)),
      ("last 30 days", statuses.isEmpty ? "none" : statuses.joined(separator: ", ")),
      ("auto-approved", all == 0 ? "none yet" : Shown.percent(own, of: all)),
    ])
    let table = TextTable(
      report.patterns,
      [
        .words("PATTERN") { $0.id }, .number("REACTIONS") { Shown.count($0.reactions) },
        .number("FAILED") { Shown.count($0.failed) },
        .number("APPROVED") { Shown.count($0.approved) },
        .number("MISSIONS SUCCEEDED") { Shown.count($0.missionsSucceeded) },
        .number("MISSIONS FAILED") { Shown.count($0.missionsFailed) },
        .words("NOTE") {
          !$0.isInMatrix ? "removed from the matrix" : $0.reactions == 0 ? "unused" : $0.name ?? ""
        },
      ])
    return facts + "\n" + table.text()
  }

  private static func json(_ report: PolicyReport, _ out: inout JSONObjectWriter) {
    out.optional("daily_limit", report.dailyMax)
    out.json("today", .object(report.today.mapValues(JSON.int)))
    out.int("refused_today", report.refusedToday)
    out.int("last_24h", report.last24h)
    out.json("by_status", .object(report.byStatus.mapValues(JSON.int)))
    out.list("patterns", report.patterns) { pattern, out in
      out.string("id", pattern.id)
      out.optional("name", pattern.name)
      out.bool("in_matrix", pattern.isInMatrix)
      out.int("reactions", pattern.reactions)
      out.int("failed", pattern.failed)
      out.int("approved", pattern.approved)
      out.int("missions_succeeded", pattern.missionsSucceeded)
      out.int("missions_failed", pattern.missionsFailed)
    }
  }
}
