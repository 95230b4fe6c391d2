import Host
import JSON
import Ledger
import Log

/// A mission's history as a person reads it: a line an event, in the order of the log.
struct Timeline {
  private let history: MissionHistory
  private var leasedAt: [StreamID: Instant] = [:]

  init(_ history: MissionHistory) { self.history = history }

  // MARK: For programs

  var json: String {
    var out = JSONObjectWriter()
    out.string("mission_id", history.mission.description)
    out.json("proposal_id", .optional(history.proposal?.description))
    out.json("reaction_id", .optional(history.reaction?.description))
    out.json("event_id", .optional(history.origin?.description))
    out.json("steps", .array(history.steps.map { .string($0.description) }))
    out.raw("events", "[" + history.events.map(\.json).joined(separator: ",\n") + "]")
    return out.finish()
  }

  // MARK: For people

  var text: String {
    var timeline = self
    return timeline.heading + timeline.lines()
  }

  private var heading: String {
    let created = history.events.first { $0.type == "mission.created" }
    let end = history.events.last {
      $0.stream == history.mission && ["mission.succeeded", "mission.failed"].contains($0.type)
    }
    let title = history.events.first { $0.type == "proposal.submitted" }?
      .texts["template"]?["title"]?.stringValue
    var line = "Mission \(history.mission)"
    if let title { line += "  \(Terminal.printable(title))" }
    line += "\n"
    if let created, let end {
      let verb = end.type == "mission.failed" ? "failed" : "succeeded"
      line += "\(verb) after \(Self.duration(from: created.at, to: end.at))"
    } else {
      line += "not finished"
    }
    return line + ", \(Shown.count(history.steps.count, "step")), "
      + "\(Shown.count(history.events.count, "event")) in the log\n\n"
  }

  private mutating func lines() -> String {
    var out = ""
    var (day, before) = ("", Instant?.none)
    for event in history.events {
      guard let what = sentence(event) else { continue }
      let stamp = Shown.fineTime(event.at)
      if stamp.prefix(10) != day {
        day = String(stamp.prefix(10))
        out += "\(day) (UTC)\n"
      }
      let elapsed = before.map { "+" + Self.duration(from: $0, to: event.at) } ?? ""
      before = event.at
      out += "  \(stamp.dropFirst(11))  \(Self.pad(elapsed, 9))  \(Terminal.printable(what))"
      out += "  [\(Terminal.printable(event.actor)), entry \(event.entry)]\n"
    }
    return out
  }

  private mutating func sentence(_ event: RecordedEvent) -> String? {
    switch event.noun {
    case "agent_event": agentEvent(event)
    case "reaction": reaction(event)
    case "proposal": proposal(event)
    case "mission": mission(event)
    case "step": step(event)
    // A run says again what its step says.
    case "run": nil
    default: event.type
    }
  }

  private func agentEvent(_ event: RecordedEvent) -> String? {
    switch event.type {
    case "agent_event.reported":
      let type = event.fields["type"]?.stringValue ?? "?"
      if event.stream != history.origin { return "reported: \(type)" }
      return "agent event \(type): \(Shown.brief(event.texts["data"]?.text, 100))"
    case "agent_event.processed":
      guard event.stream == history.origin else { return nil }
      let patterns = event.fields["patterns"]?.arrayValue ?? []
      let matched = patterns.filter { $0["matched"] == .bool(true) }
        .compactMap { $0["pattern"]?.stringValue }
      return "matched against \(Shown.count(patterns.count, "pattern")): "
        + (matched.isEmpty ? "none" : matched.joined(separator: ", "))
    default: return byHand(event)
    }
  }

  private func reaction(_ event: RecordedEvent) -> String? {
    switch event.type {
    case "reaction.queued":
      "pattern \(event.fields["pattern_id"]?.stringValue ?? "?") queued its reaction"
    case "reaction.done":
      "the reaction is done: its proposal is \(event.fields["status"]?.stringValue ?? "?")"
    case "reaction.failed":
      "the reaction failed: \(event.texts["error"]?.stringValue ?? "[erased]")"
    case "reaction.retried": "the reaction is tried again"
    default: byHand(event)
    }
  }

  private func proposal(_ event: RecordedEvent) -> String? {
    let snapshot = history.events.first { $0.type == "proposal.submitted" }?
      .fields["policy_snapshot"]
    switch event.type {
    case "proposal.submitted":
      return "proposed (source \(event.fields["source"]?.stringValue ?? "?"), risk "
        + "\(event.texts["template"]?["risk_level"]?.stringValue ?? "medium"))"
    case "proposal.auto_approved":
      return
        "approved by itself, under auto_approve version \(Self.version(snapshot, "auto_approve"))"
        + " and proposal_caps version \(Self.version(snapshot, "proposal_caps"))"
    case "proposal.gate_refused": return "refused by the gate\(Self.why(event))"
    case "proposal.vote_called":
      return "a vote is called, until \(event.fields["deadline"]?.stringValue ?? "?")"
    case "proposal.vote_cast":
      return "\(event.fields["role"]?.stringValue ?? "?") votes "
        + "\(event.fields["vote"]?.stringValue ?? "?")\(Self.why(event))"
    case "proposal.vote_expired": return "the vote ended without a decision"
    case "proposal.approved":
      return "approved\(Self.why(event)), under proposal_caps version "
        + Self.version(snapshot, "proposal_caps")
    case "proposal.rejected": return "rejected\(Self.why(event))"
    default: return byHand(event)
    }
  }

  private func mission(_ event: RecordedEvent) -> String? {
    switch event.type {
    case "mission.created": "mission created with \(Shown.count(history.steps.count, "step"))"
    case "mission.started": "mission started"
    case "mission.succeeded": "mission succeeded"
    case "mission.failed": "mission failed, with \(name(ofStepIn: event))"
    case "mission.reopened": "mission reopened, for \(name(ofStepIn: event))"
    default: byHand(event)
    }
  }

  private mutating func step(_ event: RecordedEvent) -> String? {
    let name = name(of: event.stream)
    switch event.type {
    case "step.created": return planned(event, name)
    case "step.leased":
      leasedAt[event.stream] = event.at
      return "\(name) leased to \(event.fields["worker"]?.stringValue ?? "?") until "
        + Self.clock(event.fields["lease_expires_at"])
    case "step.renewed":
      return "\(name): lease renewed until \(Self.clock(event.fields["lease_expires_at"]))"
    case "step.succeeded":
      return "\(name) succeeded\(took(event)): \(Shown.brief(event.texts["result"]?.text, 80))"
    case "step.attempt_failed":
      let count = event.fields["failure_count"]?.intValue ?? 0
      return "\(name): attempt \(count) failed\(took(event)) "
        + "(\(event.fields["class"]?.stringValue ?? "?"))"
        + (event.texts["error"]?.stringValue.map { ": \($0)" } ?? "")
    case "step.retry_scheduled":
      guard let at = event.fields["not_before"]?.stringValue.flatMap({ Instant($0) }) else {
        return "\(name) is queued again, at once"
      }
      return "\(name) is queued again, in \(Self.duration(from: event.at, to: at))"
    case "step.dead_lettered":
      return "\(name) is a dead letter: no attempt of "
        + "\(event.fields["max_retries"]?.intValue ?? 0) is left"
    case "step.skipped": return "\(name) is skipped"
    case "step.requeued": return "\(name) is tried again by hand"
    default: return byHand(event)
    }
  }

  private func planned(_ event: RecordedEvent, _ name: String) -> String {
    let needs = (event.fields["needs"]?.arrayValue ?? []).compactMap(\.intValue)
    let after =
      needs.isEmpty
      ? "" : ", after " + needs.map { "step \($0 + 1)" }.joined(separator: " and ")
    return "\(name) planned: \(event.fields["kind"]?.stringValue ?? "?") by "
      + "\(event.fields["executor"]?.stringValue ?? "?")\(after)"
  }

  private func byHand(_ event: RecordedEvent) -> String {
    let what = event.type.split(separator: ".").last.map(String.init) ?? event.type
    let changed = (event.fields["changes"]?.objectValue?.keys.sorted() ?? []).joined(
      separator: ", ")
    return "\(event.noun) \(what)" + (changed.isEmpty ? "" : ": \(changed)")
  }

  // MARK: Words

  private func name(of step: StreamID) -> String {
    guard let index = history.steps.firstIndex(of: step) else { return "a step" }
    return history.steps.count == 1 ? "the step" : "step \(index + 1)"
  }

  private func name(ofStepIn event: RecordedEvent) -> String {
    event.fields["step_id"]?.stringValue.flatMap { StreamID($0) }.map(name) ?? "a step"
  }

  private func took(_ event: RecordedEvent) -> String {
    leasedAt[event.stream].map { " after " + Self.duration(from: $0, to: event.at) } ?? ""
  }

  private static func why(_ event: RecordedEvent) -> String {
    event.texts["reason"]?.stringValue.map { ": \($0)" } ?? ""
  }

  private static func version(_ snapshot: JSON?, _ key: String) -> String {
    snapshot?[key]?.intValue.map(String.init) ?? "?"
  }

  private static func clock(_ value: JSON?) -> String {
    guard let instant = value?.stringValue.flatMap({ Instant($0) }) else { return "?" }
    return String(Shown.time(instant).dropFirst(11))
  }

  static func duration(from start: Instant, to end: Instant) -> String {
    let millis = Int((end.seconds(since: start) * 1000).rounded())
    switch abs(millis) {
    case 0..<1000: return "\(millis) ms"
    case 1000..<120_000: return "\(millis / 1000).\(abs(millis) % 1000 / 100) s"
    case 120_000..<7_200_000: return "\(millis / 60_000) min"
    default: return "\(millis / 3_600_000) h \(abs(millis) / 60_000 % 60) min"
    }
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}

extension RecordedEvent {
  /// The event under the columns of `ledger.events`.
  var json: String {
    var out = JSONObjectWriter()
    out.int("entry", entry)
    out.int("index", index)
    out.string("stream", stream.description)
    out.int("version", version)
    out.string("type", type)
    out.string("recorded_at", at.description)
    out.string("actor", actor)
    out.json("cause", cause.map(JSON.int) ?? .null)
    out.json("command", .optional(command?.description))
    out.raw("data", data)
    out.raw("content", content ?? "null")
    out.json("salt", .optional(salt.map(Self.hex)))
    out.json("commitment", .optional(commitment.map(Self.hex)))
    return out.finish()
  }

  /// As PostgreSQL prints bytea.
  private static func hex(_ bytes: [UInt8]) -> String {
    "\\x"
      + bytes.map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
      }.joined()
  }
}
