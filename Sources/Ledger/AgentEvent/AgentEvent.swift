public import JSON

/// Something that an agent or a system reported: a row of `ops_agent_events`. Not a ledger event.
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
    /// `processed`: whether it was born processed, as the loop's own agent events are.
    case reported(Report, processed: Bool)
    /// The heartbeat has looked at it; per pattern, what came of it.
    case processed([PatternOutcome])
  }

  /// What was reported.
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

  /// What one pattern made of an agent event.
  public struct PatternOutcome: Equatable, Sendable {
    public var pattern: String
    public var result: Result
    /// More about why, in words.
    public var detail: String?
    /// The random number that chance was decided by, where the pattern leaves it to chance.
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

    public init(
      pattern: String, result: Result, detail: String? = nil, draw: Double? = nil
    ) {
      self.pattern = pattern
      self.result = result
      self.detail = detail
      self.draw = draw
    }
  }
}

extension AgentEvent: Row {
  public static let name = RowType.agentEvent
  public static let table = "ops_agent_events"
  public static var drafted: any WritableKeyPath<Draft, DraftTable<AgentEvent>> & Sendable {
    \.agentEvents
  }
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
      let details = outcomes.filter { $0.detail != nil }
      if !details.isEmpty {
        content.json(
          "details",
          .object(
            Dictionary(
              details.map { ($0.pattern, JSON.optional($0.detail)) }, uniquingKeysWith: { $1 })))
      }
    }
  }

  /// What the patterns made of it is the longest payload of all, and no part of the row.
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
  /// None where the payload was not read, since the row does not need it.
  fileprivate static func all(_ payload: Payload) throws(Unreadable) -> [Self] {
    let details = payload.content.json("details").flatMap { try? JSON(parsing: $0) }
    var outcomes: [Self] = []
    for outcome in try payload.data.json("patterns").map(elements) ?? [] {
      outcomes.append(try Self(outcome, details))
    }
    return outcomes
  }

  private static func elements(_ text: String) throws(Unreadable) -> [JSON] {
    guard let elements = (try? JSON(parsing: text))?.arrayValue else {
      throw Unreadable("patterns is not an array")
    }
    return elements
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
      throw Unreadable("reason is none that is known")
    }
    return .unmatched(reason)
  }

  /// As an object's text; its members in the order of ``JSON/text``.
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
