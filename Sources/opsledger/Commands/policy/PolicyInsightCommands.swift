import Host
import JSON
import Ledger
import OpsLoop

/// `policy explain|report`: what policies made of what happened.
extension PolicyCommands {
  static let explain = Command(
    group: .policy, name: "policy explain",
    summary: "say why an agent event led to what it led to, or what one would lead to",
    arguments: [.init(name: "EVENT_ID|TYPE", help: "an agent event, or the type of one")],
    options: [
      .init(name: "data", value: "JSON|@FILE|-", help: "with TYPE: the event's data ({})")
    ],
    notes: [
      "Of an event that was processed it tells what was recorded; else what would happen now."
    ],
    examples: [
      .init(
        line: "policy explain 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f", meaning: "pattern by pattern"),
      .init(
        line: "policy explain scout:find --data '{\"summary\": \"Offline mode\"}'",
        meaning: "records nothing"),
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
    if call.wantsJSON {
      Output.standard.line(json(explanation))
    } else {
      print(explanation, isKnown: StreamID(name) != nil, call)
    }
    return .fine
  }

  private static func print(
    _ explanation: EventExplanation, isKnown: Bool, _ call: Invocation
  ) {
    let event = explanation.event
    let what = "\(event.type)" + (isKnown ? " \(event.id)" : "")
    let state =
      explanation.isRecorded
      ? "processed \(Shown.time(event.processedAt)):"
      : event.processedAt != nil
        ? "is the loop's own and was born processed; asked now, the patterns say:"
        : isKnown ? "is not processed yet; it would be:" : "would be:"
    Output.standard.line(Terminal.printable("\(what) \(state)"))
    var table = TextTable([
      .init(title: "PATTERN"), .init(title: "ANSWER"), .init(title: "AND THEN"),
    ])
    for pattern in explanation.patterns {
      table.add([pattern.pattern, answer(pattern), consequence(pattern)])
    }
    Output.standard.write(table.text())
  }

  private static func answer(_ pattern: PatternExplanation) -> String {
    let detail = pattern.detail.map { ": \($0)" } ?? ""
    if pattern.matched {
      if let chance = pattern.probability {
        return "matches, with probability \(Shown.decimal(chance))"
      }
      return "matched" + (pattern.draw.map { " by chance (\(Shown.decimal($0)))" } ?? "")
    }
    switch pattern.reason {
    case .type: return "another type"
    case .tags: return "not all of its tags"
    case .source: return "another source"
    case .condition: return "its condition does not hold"
    case .probability:
      return "left to chance" + (pattern.draw.map { ", which drew \(Shown.decimal($0))" } ?? "")
    case .cooldown: return "reacted a short while ago"
    case .template: return "its template cannot be filled" + detail
    case .depth: return "the chain of reactions is too long" + detail
    case nil: return "no reason recorded" + detail
    }
  }

  private static func consequence(_ pattern: PatternExplanation) -> String {
    if let verdict = pattern.verdict { return verdict.words }
    guard pattern.matched, let status = pattern.reactionStatus else { return "" }
    if let proposal = pattern.proposal {
      return "proposal \(proposal), \(pattern.proposalStatus?.rawValue ?? "gone")"
    }
    return "reaction \(status.rawValue)" + (pattern.detail.map { ": \($0)" } ?? "")
  }

  private static func json(_ explanation: EventExplanation) -> String {
    var out = JSONObjectWriter()
    out.string("event_id", explanation.event.id.description)
    out.string("type", explanation.event.type)
    out.bool("recorded", explanation.isRecorded)
    out.int("causation_depth", explanation.depth)
    out.raw("patterns", "[" + explanation.patterns.map(json).joined(separator: ", ") + "]")
    return out.finish()
  }

  private static func json(_ pattern: PatternExplanation) -> String {
    var out = JSONObjectWriter()
    out.string("pattern", pattern.pattern)
    out.bool("matched", pattern.matched)
    out.json("reason", .optional(pattern.reason?.rawValue))
    out.json("detail", .optional(pattern.detail))
    if let draw = pattern.draw { out.json("draw", .number("\(draw)")) }
    if let chance = pattern.probability { out.json("probability", .number("\(chance)")) }
    out.json("reaction_id", .optional(pattern.reaction?.description))
    out.json("reaction_status", .optional(pattern.reactionStatus?.rawValue))
    out.json("proposal_id", .optional(pattern.proposal?.description))
    out.json(
      "proposal_status",
      .optional(pattern.proposalStatus?.rawValue ?? pattern.verdict?.status?.rawValue))
    out.json("template", pattern.template ?? .null)
    out.json("verdict", .optional(pattern.verdict?.words))
    return out.finish()
  }

  static let report = Command(
    group: .policy, name: "policy report",
    summary: "say how the policies did: caps, approvals, and of what use the patterns are",
    notes: [
      "Caps count a UTC day, and what the gate refused does not count. The rest is of 30 days."
    ],
    examples: [.init(line: "policy report", meaning: "for the monthly review")]
  ) { (call) throws(OpsError) in
    let report = try call.engine().policyReport()
    if call.wantsJSON {
      Output.standard.line(json(report))
    } else {
      print(report)
    }
    return .fine
  }

  private static func print(_ report: PolicyReport) {
    let today = report.today.values.reduce(0, +)
    let cap = report.dailyMax.map { " of \($0)" } ?? ", no daily cap"
    let all = report.byStatus.values.reduce(0, +)
    let own = report.byStatus["auto_approved"] ?? 0
    let statuses = report.byStatus.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
    let sources = report.today.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
    Output.standard.write(
      Facts.text([
        ("proposals today", "\(today)\(cap); \(report.refusedToday) refused"),
        ("of these", sources.isEmpty ? "none" : sources.joined(separator: ", ")),
        ("last 24 h", Shown.count(report.last24h)),
        ("last 30 days", statuses.isEmpty ? "none" : statuses.joined(separator: ", ")),
        ("approved by policy", all == 0 ? "none yet" : Shown.percent(own, of: all)),
      ]) + "\n")
    var table = TextTable([
      .init(title: "PATTERN"),
      .init(title: "REACTIONS", alignsRight: true, canShrink: false),
      .init(title: "FAILED", alignsRight: true, canShrink: false),
      .init(title: "APPROVED", alignsRight: true, canShrink: false),
      .init(title: "SUCCEEDED", alignsRight: true, canShrink: false),
      .init(title: "MISSIONS FAILED", alignsRight: true, canShrink: false), .init(title: "NOTE"),
    ])
    for pattern in report.patterns {
      table.add([
        pattern.id, Shown.count(pattern.reactions), Shown.count(pattern.failed),
        Shown.count(pattern.approved), Shown.count(pattern.missionsSucceeded),
        Shown.count(pattern.missionsFailed),
        !pattern.isInMatrix
          ? "not in the matrix any more" : pattern.reactions == 0 ? "unused" : pattern.name ?? "",
      ])
    }
    Output.standard.write(table.text())
  }

  private static func json(_ report: PolicyReport) -> String {
    var out = JSONObjectWriter()
    out.json("daily_limit", report.dailyMax.map(JSON.int) ?? .null)
    out.json("today", .object(report.today.mapValues(JSON.int)))
    out.int("refused_today", report.refusedToday)
    out.int("last_24h", report.last24h)
    out.json("by_status", .object(report.byStatus.mapValues(JSON.int)))
    let patterns = report.patterns.map { pattern in
      var out = JSONObjectWriter()
      out.string("id", pattern.id)
      out.json("name", .optional(pattern.name))
      out.bool("in_matrix", pattern.isInMatrix)
      out.int("reactions", pattern.reactions)
      out.int("failed", pattern.failed)
      out.int("approved", pattern.approved)
      out.int("missions_succeeded", pattern.missionsSucceeded)
      out.int("missions_failed", pattern.missionsFailed)
      return out.finish()
    }
    out.raw("patterns", "[" + patterns.joined(separator: ", ") + "]")
    return out.finish()
  }
}
