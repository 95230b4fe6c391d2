import Host
import JSON
import Ledger
import Log

/// A mission's history as people read it: what happened, when, by whom, why, and how long it took.
struct Timeline {
  struct Line {
    var at: Instant
    var entry: Int64
    var actor: String
    var what: String
  }

  private(set) var lines: [Line] = []
  private(set) var title: String?
  private(set) var status = "unknown"
  private(set) var proposalID: String?
  private(set) var decision: String?
  /// Versions of the policies that decided.
  private(set) var policyVersions: JSON = .object([:])
  private(set) var createdAt: Instant?
  private(set) var startedAt: Instant?
  private(set) var endedAt: Instant?
  private(set) var stepCount = 0
  private(set) var attemptCount = 0

  private let mission: StreamID
  private let origin: StreamID?
  private var steps: [StreamID: StepFacts] = [:]

  private struct StepFacts {
    var ordinal: Int?
    var kind = "?"
    var executor: String?
    var leasedAt: Instant?
    var attempts = 0
  }

  /// Files of the store that hold it; where no store was asked, those that it was archived in, as the log names them.
  private(set) var segments: [String] = []

  /// - Parameter segments: Where a store was asked.
  init(_ history: MissionHistory, segments: [String]? = nil) {
    mission = history.mission
    origin = history.origin
    for event in history.events {
      guard let what = read(event) else { continue }
      lines.append(
        Line(at: event.recordedAt, entry: event.entry, actor: event.actor, what: what))
    }
    if let segments { self.segments = segments }
  }

  /// What one event says; nil where another of the same entry says it already.
  private mutating func read(_ event: LoggedEvent) -> String? {
    let data = (try? JSON(parsing: event.data)) ?? .null
    let content = event.content.flatMap { try? JSON(parsing: $0) } ?? .null
    let isErased = event.commitment != nil
    let (noun, kind) = Self.split(event.type)
    if let text = byHand(kind, noun, event, data, content) { return text }
    switch noun {
    case "agent_event": return agentEvent(kind, event, data, content)
    case "reaction": return reaction(kind, event, data, content)
    case "proposal": return proposal(kind, event, data, content)
    case "mission": return missionEvent(kind, event, data)
    case "step": return step(kind, event, data, content, isErased)
    case "run": return nil
    default: return event.type
    }
  }

  private static func split(_ type: String) -> (noun: String, kind: String) {
    guard let dot = type.firstIndex(of: ".") else { return (type, "") }
    return (String(type[..<dot]), String(type[type.index(after: dot)...]))
  }
}

// MARK: - What started it

extension Timeline {
  private func agentEvent(
    _ kind: String, _ event: LoggedEvent, _ data: JSON, _ content: JSON
  ) -> String? {
    if kind == "processed" {
      guard event.stream == origin else { return nil }
      let patterns = data["patterns"]?.arrayValue ?? []
      let matched = patterns.filter { $0["matched"]?.boolValue == true }
        .compactMap { $0["pattern"]?.stringValue }
      let others = patterns.count - matched.count
      return "heartbeat looked at it: \(matched.joined(separator: ", ")) reacted"
        + (others > 0 ? ", \(others) other \(others == 1 ? "pattern" : "patterns") did not" : "")
    }
    let type = data["type"]?.stringValue ?? "?"
    var text = event.stream == origin ? "agent event \(type) reported" : "reported \(type)"
    if event.stream == origin, let said = content["data"], said != .object([:]) {
      text += ": \(Shown.brief(said.text, 120))"
    }
    if let thought = content["thought"]?.stringValue {
      text += "; thought: \(Shown.brief(thought, 120))"
    }
    return text
  }

  private func reaction(
    _ kind: String, _ event: LoggedEvent, _ data: JSON, _ content: JSON
  ) -> String? {
    switch kind {
    case "queued": "reaction queued by pattern \(data["pattern_id"]?.stringValue ?? "?")"
    case "done": nil
    case "failed":
      "reaction failed: \(content["error"]?.stringValue ?? data["code"]?.stringValue ?? "?")"
    default: "reaction tried again"
    }
  }

  private mutating func proposal(
    _ kind: String, _ event: LoggedEvent, _ data: JSON, _ content: JSON
  ) -> String? {
    let reason = content["reason"]?.stringValue.map { ": \(Shown.brief($0, 200))" } ?? ""
    switch kind {
    case "submitted": return submitted(event, data, content)
    case "auto_approved":
      decision = "approved by policy auto_approve version \(version("auto_approve"))"
      return "\(decision ?? ""), proposal_caps version \(version("proposal_caps"))"
    case "approved":
      decision = "approved by \(event.actor)"
      return "approved by \(event.actor)\(reason)"
    case "rejected":
      decision = "rejected by \(event.actor)"
      return "rejected by \(event.actor)\(reason)"
    case "gate_refused":
      return "refused by policy proposal_caps version \(version("proposal_caps"))\(reason)"
    case "vote_called":
      return "a vote was called: \(data["threshold"]?.text ?? "?") votes to approve"
    case "vote_cast":
      return
        "\(data["role"]?.stringValue ?? "?") voted \(data["vote"]?.stringValue ?? "?")\(reason)"
    case "vote_expired": return "the vote ended without a decision"
    default: return event.type
    }
  }

  private mutating func submitted(
    _ event: LoggedEvent, _ data: JSON, _ content: JSON
  ) -> String {
    proposalID = event.stream.description
    policyVersions = data["policy_snapshot"] ?? .object([:])
    let template = content["template"] ?? .null
    title = template["title"]?.stringValue
    var facts = ["source \(data["source"]?.stringValue ?? "?")"]
    let risk = template["risk_level"]?.stringValue
    facts.append("risk \(risk ?? (template == .null ? "erased" : "medium, since none is given"))")
    if let steps = template["steps"]?.arrayValue { facts.append(Shown.count(steps.count, "step")) }
    let name = title.map { " \"\(Shown.brief($0, 100))\"" } ?? ""
    return "proposal\(name) submitted (\(facts.joined(separator: ", ")))"
  }

  private func version(_ policy: String) -> String { policyVersions[policy]?.text ?? "none" }
}

// MARK: - What was done

extension Timeline {
  private mutating func missionEvent(
    _ kind: String, _ event: LoggedEvent, _ data: JSON
  ) -> String? {
    func since() -> String {
      createdAt.map { ", \(Shown.span(from: $0, to: event.recordedAt)) after it was created" } ?? ""
    }
    switch kind {
    case "created":
      (status, createdAt) = ("approved", event.recordedAt)
      return "mission created"
    case "started":
      (status, startedAt) = ("running", event.recordedAt)
      return "mission started"
    case "succeeded":
      (status, endedAt) = ("succeeded", event.recordedAt)
      return "mission succeeded\(since())"
    case "failed":
      (status, endedAt) = ("failed", event.recordedAt)
      return "mission failed\(since()): \(named(data["step_id"])) is dead"
    case "reopened":
      (status, endedAt) = ("running", nil)
      return "mission reopened: \(named(data["step_id"])) is tried again"
    default: return event.type
    }
  }

  private func named(_ id: JSON?) -> String {
    id?.stringValue.flatMap { StreamID($0) }.map { name($0) } ?? "a step"
  }

  /// A step by its position and its kind.
  private func name(_ id: StreamID) -> String {
    guard let step = steps[id] else { return "step \(id)" }
    return "step \(step.ordinal.map { String($0) } ?? id.description) (\(step.kind))"
  }

  private mutating func step(
    _ kind: String, _ event: LoggedEvent, _ data: JSON, _ content: JSON, _ isErased: Bool
  ) -> String? {
    let id = event.stream
    switch kind {
    case "created":
      stepCount += 1
      steps[id] = StepFacts(
        ordinal: data["ordinal"]?.intValue, kind: data["kind"]?.stringValue ?? "?",
        executor: data["executor"]?.stringValue)
      return planned(id, data, content)
    case "leased":
      attemptCount += 1
      steps[id, default: StepFacts()].attempts += 1
      steps[id]?.leasedAt = event.recordedAt
      return "\(name(id)): attempt \(steps[id]?.attempts ?? 1), leased to "
        + "\(data["worker"]?.stringValue ?? "?") until \(Self.clock(data["lease_expires_at"]))"
    case "renewed":
      return "\(name(id)): lease renewed until \(Self.clock(data["lease_expires_at"]))"
    case "succeeded":
      let result = content["result"].map { ": \(Shown.brief($0.text, 120))" } ?? ""
      return "\(name(id)): succeeded\(took(id, event))\(result)"
    case "attempt_failed":
      let error = content["error"]?.stringValue ?? (isErased ? Erased.text : "no error given")
      return "\(name(id)): attempt \(steps[id]?.attempts ?? 0) failed\(took(id, event)) "
        + "(\(data["class"]?.stringValue ?? "?")): \(Shown.brief(error, 200))"
    case "retry_scheduled":
      guard let time = data["not_before"]?.stringValue.flatMap({ Instant($0) }) else {
        return "\(name(id)): to be tried again at once"
      }
      return "\(name(id)): to be tried again in \(Shown.span(from: event.recordedAt, to: time))"
    case "dead_lettered":
      return "\(name(id)): dead letter, after \(data["max_retries"]?.text ?? "?") attempts in all"
    case "skipped":
      return "\(name(id)): skipped, since step \(data["failed_ordinal"]?.text ?? "?") failed"
    case "requeued":
      let why = content["why"]?.stringValue.map { ": \(Shown.brief($0, 200))" } ?? ""
      return "\(name(id)): queued again by \(event.actor)\(why)"
    default: return event.type
    }
  }

  private func planned(_ id: StreamID, _ data: JSON, _ content: JSON) -> String {
    var text = "\(name(id)) planned"
    let needs = data["needs"]?.arrayValue ?? []
    if !needs.isEmpty { text += ", after step " + needs.map(\.text).joined(separator: ", ") }
    if let params = content["params"], params != .object([:]) {
      text += ": \(Shown.brief(params.text, 120))"
    }
    return text
  }

  private func took(_ id: StreamID, _ event: LoggedEvent) -> String {
    steps[id]?.leasedAt.map { " after \(Shown.span(from: $0, to: event.recordedAt))" } ?? ""
  }
}

// MARK: - Hands, and the archive

extension Timeline {
  private mutating func byHand(
    _ kind: String, _ noun: String, _ event: LoggedEvent, _ data: JSON, _ content: JSON
  ) -> String? {
    let thing =
      noun == "step" ? name(event.stream) : noun.split(separator: "_").joined(separator: " ")
    // What a hand did was no command; `restore --at` is one.
    let how = event.command == nil ? " by hand" : ""
    switch kind {
    case "amended":
      let changes = (data["changes"]?.objectValue ?? [:]).merging(content.objectValue ?? [:]) {
        first, _ in first
      }
      if let now = changes["status"]?.arrayValue?.last?.stringValue { take(now, noun, event) }
      let list = changes.sorted { $0.key < $1.key }.map { key, pair in
        let values = pair.arrayValue ?? []
        return
          "\(key) \(Shown.brief(values.first?.text, 60)) → \(Shown.brief(values.last?.text, 60))"
      }
      return "\(thing) amended\(how): \(list.joined(separator: ", "))"
    case "inserted":
      if let now = data["columns"]?["status"]?.stringValue { take(now, noun, event) }
      return "\(thing) inserted\(how)"
    case "removed": return "\(thing) removed\(how)"
    case "archived":
      let file = data["segment"]?.stringValue
      if let file, !segments.contains(file) { segments.append(file) }
      return "\(thing) archived into \(file ?? "?")"
    case "restored": return "\(thing) restored from the archive"
    case "erased": return "\(thing): its content was erased"
    default: return nil
    }
  }

  /// What a status that a hand wrote says of the whole.
  private mutating func take(_ now: String, _ noun: String, _ event: LoggedEvent) {
    switch (noun, now) {
    case ("mission", _):
      status = now
      endedAt = now == "succeeded" || now == "failed" ? event.recordedAt : nil
    case ("proposal", "approved"), ("proposal", "auto_approved"), ("proposal", "rejected"):
      decision = "\(now == "rejected" ? "rejected" : "approved") by \(event.actor)"
    default: break
    }
  }
}

// MARK: - Text

extension Timeline {
  /// `07:14:05`, in UTC; what is no time, as it stands there.
  private static func clock(_ time: JSON?) -> String {
    guard let text = time?.stringValue else { return "?" }
    return Instant(text).map(Shown.clock) ?? Shown.brief(text, 40)
  }

  /// The mission in two lines.
  var heading: String {
    var first = "mission \(mission)"
    if let title { first += ": \(Terminal.printable(title))" }
    var facts = [status]
    if let createdAt, let endedAt {
      facts[0] += " after \(Shown.span(from: createdAt, to: endedAt))"
    }
    facts.append(Shown.count(stepCount, "step"))
    facts.append(Shown.count(attemptCount, "attempt"))
    if let decision { facts.append(decision) }
    var text = first + "\n" + facts.map(Terminal.printable).joined(separator: ", ") + "\n"
    if !segments.isEmpty {
      text += Terminal.printable("in \(segments.joined(separator: ", "))") + "\n"
    }
    return text
  }

  /// Heading and table. On a terminal what happened is broken into lines of its column.
  func text(columnsMax: Int? = Terminal.isTerminal(1) ? Terminal.columns() : nil) -> String {
    var rows: [[String]] = []
    var (day, last) = ("", Line?.none)
    for line in lines {
      let stamp = Shown.fineTime(line.at)
      if Shown.day(line.at) != day {
        day = Shown.day(line.at)
        rows.append([day, "", "", "", ""])
      }
      // What was recorded together is said to be.
      rows.append(
        last?.entry == line.entry
          ? ["", "", "", "", line.what]
          : [
            String(stamp.drop { $0 != " " }.dropFirst()),
            last.map { Shown.span(from: $0.at, to: line.at) } ?? "",
            String(line.entry), line.actor, line.what,
          ])
      last = line
    }
    var table = TextTable([
      .init(title: "TIME (UTC)", canShrink: false),
      .init(title: "AFTER", alignsRight: true, canShrink: false),
      .init(title: "ENTRY", alignsRight: true, canShrink: false),
      .init(title: "BY"), .init(title: "WHAT", canShrink: false),
    ])
    let width = columnsMax.map { Self.room(beside: rows, columns: $0) } ?? Int.max
    for row in rows {
      let parts = Self.broken(Terminal.printable(row[4]), width)
      table.add(row.dropLast() + [parts.first ?? ""])
      for part in parts.dropFirst() { table.add(["", "", "", "", "  " + part]) }
    }
    return heading + "\n" + table.text(columnsMax: columnsMax)
  }

  /// What the terminal leaves for the last column. A long name of who did it gives way.
  private static func room(beside rows: [[String]], columns: Int) -> Int {
    let others = (0..<4).map { column in
      rows.reduce(column == 1 || column == 2 ? 5 : 10) { max($0, Terminal.width($1[column])) }
    }
    let rigid = others[0] + others[1] + others[2] + 8
    let room = columns - rigid - others[3]
    return max(10, max(room, min(40, columns - rigid - 12)))
  }

  /// Lines of at most so many columns, broken at spaces; those after the first have two less.
  private static func broken(_ text: String, _ columns: Int) -> [String] {
    guard Terminal.width(text) > columns else { return [text] }
    var lines: [String] = []
    var line = ""
    let words = text.split(separator: " ").flatMap { Self.pieces(of: $0, max(1, columns - 2)) }
    for word in words {
      let room = columns - (lines.isEmpty ? 0 : 2)
      if !line.isEmpty, Terminal.width(line) + 1 + Terminal.width(String(word)) > room {
        lines.append(line)
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    return lines + [line]
  }

  /// A word without a space in it may be longer than the column.
  private static func pieces(of word: Substring, _ columns: Int) -> [Substring] {
    guard Terminal.width(String(word)) > columns else { return [word] }
    var (pieces, rest) = ([Substring](), word)
    while !rest.isEmpty {
      var (end, width) = (rest.startIndex, 0)
      while end < rest.endIndex {
        width += Terminal.width(String(rest[end]))
        if width > columns, end > rest.startIndex { break }
        end = rest.index(after: end)
      }
      pieces.append(rest[..<end])
      rest = rest[end...]
    }
    return pieces
  }
}
