public import JSON

/// A report of an agent or a system: a row of `ops_agent_events`. It is not an event of the log.
public struct AgentEvent: Sendable {
  public var id: StreamID
  public var dedupeKey: String?
  public var type: String
  public var data: String
  public var missionID: StreamID?
  public var processedAt: Instant?
  public var createdAt: Instant
  public var thought: String?
  public var version: Int32 = 0

  public init(blank stream: StreamID) {
    id = stream
    type = ""
    data = "{}"
    createdAt = Instant(micros: 0)
  }

  public enum Event: Equatable, Sendable {
    /// `processed` is true if no heartbeat needs to look at it, as for most of the loop's own agent events.
    case reported(Report, processed: Bool)
    /// The heartbeat has matched it with each pattern.
    case processed([PatternOutcome])
  }

  public struct Report: Equatable, Sendable {
    public var type: String
    public var data: String
    public var dedupeKey: String?
    public var missionID: StreamID?
    public var thought: String?

    public init(
      type: String, data: String, dedupeKey: String? = nil, missionID: StreamID? = nil,
      thought: String? = nil
    ) {
      self.type = type
      self.data = data
      self.dedupeKey = dedupeKey
      self.missionID = missionID
      self.thought = thought
    }
  }

  /// The answer of one pattern to an agent event.
  public struct PatternOutcome: Equatable, Sendable {
    public var pattern: String
    public var result: Result
    /// A sentence that explains the reason.
    public var detail: String?
    /// The random number of a pattern with a probability below 1.
    public var draw: Double?

    public enum Result: Equatable, Sendable {
      case matched(reaction: StreamID)
      case unmatched(Reason)
    }

    public var isMatch: Bool {
      if case .matched = result { true } else { false }
    }

    /// Why a pattern did not react.
    public enum Reason: String, CaseIterable, Sendable {
      case type, tags, source, condition, probability, cooldown, template, depth
    }
  }
}

extension AgentEvent: Row {
  public static let name = RowType.agentEvent
  public static let table = "ops_agent_events"
  public static var drafted: any DraftPath<AgentEvent> { \.agentEvents }
  public static let columns: [Column<AgentEvent>] = [
    .uuid("id", \.id),
    .text("dedupe_key", \.dedupeKey),
    .text("type", \.type),
    .json("data", \.data, .content),
    .uuid("mission_id", \.missionID),
    .time("processed_at", \.processedAt),
    .time("created_at", \.createdAt),
    .text("thought", \.thought, .content),
    .int("version", \.version),
  ]

  public static func evolve(_ row: inout AgentEvent?, _ event: Event, _ recorded: Recorded) {
    switch event {
    case .reported(let report, let processed):
      var fresh = AgentEvent(blank: recorded.stream)
      fresh.dedupeKey = report.dedupeKey
      fresh.type = report.type
      fresh.data = report.data
      fresh.missionID = report.missionID
      fresh.processedAt = processed ? recorded.at : nil
      fresh.createdAt = recorded.at
      fresh.thought = report.thought
      row = fresh
    case .processed: row?.processedAt = recorded.at
    }
  }
}

extension AgentEvent.Event: RowEvent {
  public enum Kind: String, CaseIterable, Sendable { case reported, processed }

  public var kind: Kind {
    switch self {
    case .reported: .reported
    case .processed: .processed
    }
  }

  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .reported(let report, let processed):
      data.string("type", report.type)
      if let key = report.dedupeKey { data.string("dedupe_key", key) }
      if let mission = report.missionID { data.string("mission_id", mission.description) }
      if processed { data.bool("processed", true) }
      content.raw("data", WrappedJSON.wrap(report.data))
      if let thought = report.thought { content.string("thought", thought) }
    case .processed(let outcomes):
      data.raw("patterns", "[\(outcomes.map(\.structure).joined(separator: ", "))]")
      let details = outcomes.compactMap { outcome in
        outcome.detail.map { (outcome.pattern, JSON.string($0)) }
      }
      if !details.isEmpty {
        content.json("details", .object(Dictionary(details, uniquingKeysWith: { $1 })))
      }
    }
  }

  /// The patterns' answers are the longest payload of all, and not a part of the row.
  public static func isRead(_ kind: Kind) -> Bool { kind != .processed }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .reported:
      self = .reported(
        AgentEvent.Report(
          type: try payload.text("type"), data: try payload.contentJSON("data"),
          dedupeKey: payload.optionalText("dedupe_key"),
          missionID: try payload.optionalID("mission_id"),
          thought: payload.optionalContentText("thought")),
        processed: payload.data.bool("processed") ?? false)
    case .processed:
      self = .processed(try AgentEvent.PatternOutcome.all(payload))
    }
  }
}

extension AgentEvent.PatternOutcome {
  /// None if the payload was not read, since the row does not need it.
  fileprivate static func all(_ payload: Payload) throws(Unreadable) -> [Self] {
    let details = payload.content.json("details")?.asJSON
    guard let text = payload.data.json("patterns") else { return [] }
    guard let elements = text.asJSON.arrayValue else {
      throw Unreadable("patterns is not an array")
    }
    var outcomes: [Self] = []
    for outcome in elements { outcomes.append(try Self(outcome, details)) }
    return outcomes
  }

  private init(_ outcome: JSON, _ details: JSON?) throws(Unreadable) {
    guard let pattern = outcome["pattern"]?.stringValue else {
      throw Unreadable("an outcome names no pattern")
    }
    self.init(
      pattern: pattern, result: try Self.result(outcome), detail: details?[pattern]?.stringValue,
      draw: outcome["draw"]?.doubleValue)
  }

  private static func result(_ outcome: JSON) throws(Unreadable) -> Result {
    if outcome["matched"]?.boolValue == true {
      guard let id = outcome["reaction_id"]?.idValue else {
        throw Unreadable("reaction_id is not a UUID")
      }
      return .matched(reaction: id)
    }
    guard let reason = outcome["reason"]?.stringValue.flatMap(Reason.init) else {
      throw Unreadable("reason is not known")
    }
    return .unmatched(reason)
  }

  /// The outcome without its detail, with the members in the order of ``JSON/text``.
  fileprivate var structure: String {
    var out = JSONObjectWriter(reservingBytes: 128)
    if let draw { out.raw("draw", "\(draw)") }
    switch result {
    case .matched(let reaction):
      out.bool("matched", true)
      out.string("pattern", pattern)
      out.string("reaction_id", reaction.description)
    case .unmatched(let reason):
      out.string("reason", reason.rawValue)
      out.bool("matched", false)
      out.string("pattern", pattern)
    }
    return out.finish()
  }
}
