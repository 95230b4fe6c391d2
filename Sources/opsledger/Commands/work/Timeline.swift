import Host
import JSON
import Ledger
import Log

/// A mission's history for people: what happened, when, by whom, why, and how long it took.
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
  /// Who set the status, where that was a manual change.
  private var statusActor: String?
  private(set) var proposalID: String?
  private(set) var decision: String?
  /// Versions of the policies that decided its proposal.
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
    var ordinal: Int32?
    var kind = "?"
    var leasedAt: Instant?
    var attempts = 0
  }

  /// Files of a store that hold it, or those that its archival in the log names.
  private(set) var segments: [String] = []

  /// - Parameter segments: Files of a store that hold it; nil where no store was read.
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

  /// What an event did; nil where another event of its entry says it.
  private mutating func read(_ event: LoggedEvent) -> String? {
    do throws(Unreadable) {
      return switch EventType(event.type) {
      case .agentEvent(let kind): try read(event, kind) { $0.agentEvent($1, event) }
      case .reaction(let kind): try read(event, kind) { $0.reaction($1) }
      case .proposal(let kind): try read(event, kind) { $0.proposal($1, event) }
      case .mission(let kind): try read(event, kind) { $0.missionEvent($1, event) }
      case .step(let kind): try read(event, kind) { $0.step($1, event) }
      case .run(let kind): try read(event, kind) { $0.run($1) }
      // Their rows belong to no mission.
      case .ledger(let kind): try read(event, kind) { _, _ in event.type }
      case .policy(let kind): try read(event, kind) { _, _ in event.type }
      case .radar(let kind): try read(event, kind) { _, _ in event.type }
      case .hold(let kind): try read(event, kind) { _, _ in event.type }
      case nil: "\(event.type), which this release does not know: \(Shown.brief(event.data, 120))"
      }
    } catch {
      return
        "\(event.type), which cannot be read (\(error.reason)): \(Shown.brief(event.data, 120))"
    }
  }

  private mutating func read<R: Row>(
    _ event: LoggedEvent, _ kind: StreamEvent<R>.Kind,
    own: (inout Timeline, R.Event) -> String?
  ) throws(Unreadable) -> String? {
    switch try event.decoded(kind) {
    case .own(let said): own(&self, said)
    case .common(let said): common(said, event)
    }
  }
}

// MARK: - What started it

extension Timeline {
  private func agentEvent(_ said: AgentEvent.Event, _ event: LoggedEvent) -> String? {
    switch said {
    case .processed(let patterns):
      guard event.stream == origin else { return nil }
      let matched = patterns.filter(\.isMatch).map(\.pattern)
      let others = patterns.count - matched.count
      return "heartbeat processed it: \(matched.joined(separator: ", ")) reacted"
        + (others > 0 ? ", \(Shown.count(others, "other pattern")) did not" : "")
    case .reported(let report, _):
      let isOrigin = event.stream == origin
      var text =
        isOrigin
        ? "agent event \(report.type) reported\(Self.detail(report.data))"
        : "reported \(report.type)"
      if let thought = report.thought { text += "; thought: \(Shown.brief(thought, 120))" }
      return text
    }
  }

  private func reaction(_ said: Reaction.Event) -> String? {
    switch said {
    case .queued(let intent): "reaction queued by pattern \(intent.patternID)"
    case .done: nil
    case .failed(let code, let error): "reaction failed: \(error ?? code)"
    case .retried: "reaction queued again"
    }
  }

  private mutating func proposal(_ said: Proposal.Event, _ event: LoggedEvent) -> String? {
    switch said {
    case .submitted(let submission): return submitted(submission, event)
    case .autoApproved:
      decision = "approved by policy auto_approve version \(version("auto_approve"))"
      return "\(decision ?? ""), proposal_caps version \(version("proposal_caps"))"
    case .approved(let reason):
      decision = "approved by \(event.actor)"
      return "approved by \(event.actor)\(Self.why(reason))"
    case .rejected(let reason):
      decision = "rejected by \(event.actor)"
      return "rejected by \(event.actor)\(Self.why(reason))"
    case .gateRefused(_, _, _, let reason):
      return
        "rejected by policy proposal_caps version \(version("proposal_caps"))\(Self.why(reason))"
    case .voteCalled(let threshold, _, _):
      return "a vote was called: \(threshold) votes to approve"
    case .voteCast(let ballot):
      return "\(ballot.role) voted \(ballot.vote.rawValue)\(Self.why(ballot.reason))"
    case .voteExpired: return "the vote ended without a decision"
    }
  }

  private mutating func submitted(
    _ submission: Proposal.Submission, _ event: LoggedEvent
  ) -> String {
    proposalID = event.stream.description
    policyVersions =
      submission.policySnapshot.flatMap { try? JSON(parsing: $0) } ?? .object([:])
    let template = (try? JSON(parsing: submission.template)) ?? .null
    title = template["title"]?.stringValue
    var facts = ["source \(submission.source.rawValue)"]
    let none = submission.template == Erased.json ? "erased" : "medium, the default"
    facts.append("risk \(template["risk_level"]?.stringValue ?? none)")
    if let steps = template["steps"]?.arrayValue { facts.append(Shown.count(steps.count, "step")) }
    let name = title.map { " \"\(Shown.brief($0, 100))\"" } ?? ""
    return "proposal\(name) submitted (\(facts.joined(separator: ", ")))"
  }

  private func version(_ policy: String) -> String { policyVersions[policy]?.text ?? "none" }

  private static func why(_ reason: String?) -> String {
    reason.map { ": \(Shown.brief($0, 200))" } ?? ""
  }

  /// A colon and the first characters of a value; empty for an empty object.
  private static func detail(_ json: String) -> String {
    let text = brief(json, 120)
    return text == "{}" ? "" : ": \(text)"
  }

  private static func brief(_ json: String, _ charactersMax: Int) -> String {
    if json == Erased.json { return Erased.text }
    return Shown.brief((try? JSON(parsing: json))?.text ?? json, charactersMax)
  }
}

// MARK: - What was done

extension Timeline {
  private mutating func missionEvent(_ said: Mission.Event, _ event: LoggedEvent) -> String? {
    func since() -> String {
      createdAt.map { ", \(Shown.span(from: $0, to: event.recordedAt)) after it was created" } ?? ""
    }
    statusActor = nil
    switch said {
    case .created:
      (status, createdAt) = ("approved", event.recordedAt)
      return "mission created"
    case .started:
      (status, startedAt) = ("running", event.recordedAt)
      return "mission started"
    case .succeeded:
      (status, endedAt) = ("succeeded", event.recordedAt)
      return "mission succeeded\(since())"
    case .failed(let step):
      (status, endedAt) = ("failed", event.recordedAt)
      return "mission failed\(since()): \(name(step)) is a dead letter"
    case .reopened(let step):
      (status, endedAt) = ("running", nil)
      return "mission reopened: \(name(step)) is tried again"
    }
  }

  /// A step by its position and its kind.
  private func name(_ id: StreamID) -> String {
    guard let step = steps[id] else { return "step \(id)" }
    return "step \(step.ordinal.map { String($0) } ?? id.description) (\(step.kind))"
  }

  private mutating func step(_ said: Step.Event, _ event: LoggedEvent) -> String? {
    let id = event.stream
    switch said {
    case .created(let plan):
      stepCount += 1
      steps[id] = StepFacts(ordinal: plan.ordinal, kind: plan.kind)
      let needs =
        plan.needs.isEmpty
        ? "" : ", after step \(plan.needs.map(String.init).joined(separator: ", "))"
      return "\(name(id)) planned\(needs)\(Self.detail(plan.params))"
    case .leased(let lease):
      attemptCount += 1
      steps[id, default: StepFacts()].attempts += 1
      steps[id]?.leasedAt = event.recordedAt
      return "\(name(id)): attempt \(steps[id]?.attempts ?? 1), leased to \(lease.worker) until "
        + Shown.clock(lease.expiresAt)
    case .renewed(let expiresAt):
      return "\(name(id)): lease renewed until \(Shown.clock(expiresAt))"
    case .succeeded(_, let result, _):
      let said = result ?? (event.commitment == nil ? nil : Erased.json)
      return "\(name(id)): succeeded\(took(id, event))"
        + (said.map { ": \(Self.brief($0, 120))" } ?? "")
    case .attemptFailed(let failure):
      let error = failure.error ?? (event.commitment == nil ? "no error given" : Erased.text)
      return "\(name(id)): attempt \(steps[id]?.attempts ?? 0) failed\(took(id, event)) "
        + "(\(failure.failureClass.rawValue)): \(Shown.brief(error, 200))"
    case .retryScheduled(let time?):
      return "\(name(id)): to be tried again in \(Shown.span(from: event.recordedAt, to: time))"
    case .retryScheduled(nil): return "\(name(id)): to be tried again at once"
    case .deadLettered(let maxRetries):
      return "\(name(id)): dead letter, after \(Shown.count(maxRetries, "attempt"))"
    case .skipped(let ordinal): return "\(name(id)): skipped, since step \(ordinal) failed"
    case .requeued(let why):
      return "\(name(id)): queued again by \(event.actor)\(Self.why(why))"
    }
  }

  private func took(_ id: StreamID, _ event: LoggedEvent) -> String {
    steps[id]?.leasedAt.map { " after \(Shown.span(from: $0, to: event.recordedAt))" } ?? ""
  }

  /// Nil: the step's events in the same entry say the same.
  private func run(_ said: Run.Event) -> String? {
    switch said {
    case .started, .succeeded, .failed: nil
    }
  }
}

// MARK: - Manual changes, and the archive

extension Timeline {
  private mutating func common<R: Row>(
    _ said: CommonEvent<R>, _ event: LoggedEvent
  ) -> String? {
    let thing =
      R.name == .step ? name(event.stream) : R.name.rawValue.replacing("_", with: " ")
    // Only a manual change has no command; `restore --at` has one.
    let how = event.command == nil ? " manually" : ""
    if let now = said.value(of: "status")?.textValue { take(now, R.name, event) }
    switch said {
    case .amended(let changes):
      let list = changes.sorted { $0.column < $1.column }.map { change in
        Self.isErased(change, of: R.self, event)
          ? "\(change.column) \(Erased.text)"
          : "\(change.column) \(Self.brief(change.from.jsonText, 60)) → "
            + Self.brief(change.to.jsonText, 60)
      }
      return "\(thing) changed\(how): \(list.joined(separator: ", "))"
    case .inserted: return "\(thing) inserted\(how)"
    case .removed: return "\(thing) removed\(how)"
    case .archived(let file, _, _):
      if !file.isEmpty, !segments.contains(file) { segments.append(file) }
      return "\(thing) archived into \(file.isEmpty ? "?" : file)"
    case .restored: return "\(thing) restored from the archive"
    case .erased: return "\(thing): its content was erased"
    }
  }

  private static func isErased<R: Row>(
    _ change: ColumnChange, of rowType: R.Type, _ event: LoggedEvent
  ) -> Bool {
    event.commitment != nil && R.column(named: change.column)?.part == .content
  }

  /// Takes a status that a change of the row wrote.
  private mutating func take(_ now: String, _ rowType: RowType, _ event: LoggedEvent) {
    switch rowType {
    case .mission:
      (status, statusActor) = (now, event.command == nil ? event.actor : nil)
      let hasEnded = [.succeeded, .failed].contains(Mission.Status(rawValue: now))
      endedAt = hasEnded ? event.recordedAt : nil
    case .proposal:
      switch Proposal.Status(rawValue: now) {
      case .approved, .autoApproved: decision = "approved by \(event.actor)"
      case .rejected: decision = "rejected by \(event.actor)"
      case .pending, .voting, nil: break
      }
    case .ledger, .policy, .radar, .agentEvent, .reaction, .step, .run, .hold: break
    }
  }
}

// MARK: - Text

extension Timeline {
  /// The mission in two lines.
  var heading: String {
    var first = "mission \(mission)"
    if let title { first += ": \(Terminal.printable(title))" }
    var facts = [status]
    if let createdAt, let endedAt {
      facts[0] += " after \(Shown.span(from: createdAt, to: endedAt))"
    }
    if let statusActor { facts[0] += " (set manually by \(statusActor))" }
    facts.append(Shown.count(stepCount, "step"))
    facts.append(Shown.count(attemptCount, "attempt"))
    if let decision { facts.append(decision) }
    var text = first + "\n" + facts.map(Terminal.printable).joined(separator: ", ") + "\n"
    if !segments.isEmpty {
      text += Terminal.printable("in \(segments.joined(separator: ", "))") + "\n"
    }
    return text
  }

  /// Heading and table. On a terminal the last column is broken into lines.
  func text(columnsMax: Int? = Terminal.isTerminal(1) ? Terminal.columns() : nil) -> String {
    var rows: [[String]] = []
    var (day, last) = ("", Line?.none)
    for line in lines {
      let stamp = Shown.fineTime(line.at)
      if Shown.day(line.at) != day {
        day = Shown.day(line.at)
        rows.append([day, "", "", "", ""])
      }
      // Only the first line of an entry has its time, number and actor.
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
      let parts = Shown.lines(Terminal.printable(row[4]), columns: width, hanging: 2)
      table.add(row.dropLast() + [parts[0]])
      for part in parts.dropFirst() { table.add(["", "", "", "", part]) }
    }
    return heading + "\n" + table.text(columnsMax: columnsMax)
  }

  /// The width that the terminal leaves for the last column. A long actor is cut for it.
  private static func room(beside rows: [[String]], columns: Int) -> Int {
    let others = (0..<4).map { column in
      rows.reduce(column == 1 || column == 2 ? 5 : 10) { max($0, Terminal.width($1[column])) }
    }
    let rigid = others[0] + others[1] + others[2] + 8
    let room = columns - rigid - others[3]
    return max(10, max(room, min(40, columns - rigid - 12)))
  }
}
