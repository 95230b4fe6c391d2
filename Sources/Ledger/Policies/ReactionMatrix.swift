public import JSON

/// Policy `reaction_matrix`: which agent events lead to which proposals.
public struct ReactionMatrix: PolicyValue, Equatable {
  public static let key = "reaction_matrix"

  /// How long a chain of reactions may be: an event of that depth is reacted to no more.
  public static let depthMaxDefault = 16

  public var patterns: [Pattern]
  public var depthMax: Int
  /// The SQL/JSON paths that patterns ask for, each once.
  public let conditions: [String]

  /// - Throws: `OPS_008` that names the pattern and the field.
  public init(_ value: JSON) throws(OpsError) {
    guard let list = value["patterns"]?.arrayValue else {
      throw OpsError(.patternInvalid, "policy reaction_matrix has no list of patterns")
    }
    depthMax = try Self.depthMax(value["max_causation_depth"])
    var patterns: [Pattern] = []
    var ids = Set<String>()
    for (index, item) in list.enumerated() {
      let pattern = try Pattern(item, index: index)
      guard ids.insert(pattern.id).inserted else {
        throw OpsError(.patternInvalid, "two patterns have the id \(pattern.id)")
      }
      patterns.append(pattern)
    }
    self.patterns = patterns
    conditions = Set(patterns.compactMap(\.condition)).sorted()
  }

  private static func depthMax(_ value: JSON?) throws(OpsError) -> Int {
    guard let value, value != .null else { return depthMaxDefault }
    guard let number = value.intValue, (1...1000).contains(number) else {
      throw OpsError(
        .patternInvalid,
        "policy reaction_matrix: max_causation_depth is not a whole number from 1 to 1000",
        facts: ["policy": key, "field": "max_causation_depth"])
    }
    return number
  }

  /// Whether an agent event of ours may lead to anything: it is born processed unless a pattern's
  /// type begins with its first word and the colon.
  public func watches(ownType type: String) -> Bool {
    guard let colon = type.firstIndex(of: ":") else { return false }
    let prefix = type[...colon]
    return patterns.contains { $0.types.contains { $0.text.hasPrefix(prefix) } }
  }
}

/// One pattern of the reaction matrix.
public struct Pattern: Equatable, Sendable {
  public var id: String
  /// For people.
  public var name: String?
  public var types: [Glob]
  public var tags: [String]
  public var source: String?
  public var probability: Double
  public var cooldownMinutes: Double
  public var dedupeKey: String?
  public var proposalSource: Proposal.Source
  public var template: JSON
  /// An SQL/JSON path over the event's data. The server evaluates it; it holds where the first thing that
  /// it gives is neither false nor null.
  public var condition: String?

  public static let conditionBytesMax = 2000

  init(_ value: JSON, index: Int) throws(OpsError) {
    let called = value["id"]?.stringValue ?? "number \(index)"
    let fields = try PolicyFields(
      "reaction_matrix: pattern \(called)", value, code: .patternInvalid)
    guard let id = try fields.string("id"), !id.isEmpty else { throw fields.wrong("id", "text") }
    self.id = id
    self.name = try fields.string("name")
    types = try Self.types(fields)
    tags = fields.members["tags"] == nil ? [] : try fields.strings("tags") ?? []
    source = try fields.string("source")
    probability = try Self.probability(fields)
    cooldownMinutes = try fields.positive("cooldown_minutes", orZero: true) ?? 0
    dedupeKey = try fields.string("dedupe_key")
    proposalSource =
      try fields.label("proposal_source", as: Proposal.Source.self) ?? .reaction
    guard let template = value["template"] ?? value["proposal"], template.objectValue != nil else {
      throw fields.wrong("template", "an object")
    }
    self.template = template
    condition = try fields.string("condition")
    guard (condition?.utf8.count ?? 1) <= Self.conditionBytesMax else {
      throw fields.wrong("condition", "a path of at most \(Self.conditionBytesMax) bytes")
    }
  }

  private static func types(_ fields: PolicyFields) throws(OpsError) -> [Glob] {
    let field = fields.members["event_type"] != nil ? "event_type" : "type"
    switch fields.members[field] {
    case nil: return [Glob("*")]
    case .string(let text): return [Glob(text)]
    default: return (try fields.strings(field) ?? []).map(Glob.init)
    }
  }

  private static func probability(_ fields: PolicyFields) throws(OpsError) -> Double {
    guard let value = fields.members["probability"] else { return 1 }
    guard let number = value.doubleValue, (0...1).contains(number) else {
      throw fields.wrong("probability", "a number from 0 to 1")
    }
    return number
  }

  /// Whether the pattern wants this event, before depth, chance, cooldown and rendering.
  ///
  /// - Parameter holding: The conditions that hold for the event's data.
  public func mismatch(
    with event: AgentEvent, data: JSON, holding: Set<String>
  ) -> AgentEvent.PatternOutcome.Reason? {
    guard types.contains(where: { $0.matches(event.type) }) else { return .type }
    let has = data["tags"]?.arrayValue ?? []
    guard tags.allSatisfy({ has.contains(.string($0)) }) else { return .tags }
    if let source, data["source"]?.stringValue != source { return .source }
    if let condition, !holding.contains(condition) { return .condition }
    return nil
  }
}

extension PolicyFields {
  func positive(_ field: String, orZero: Bool) throws(OpsError) -> Double? {
    orZero && members[field]?.doubleValue == 0 ? 0 : try positive(field)
  }
}

/// A type in which `*` stands for any text, also none.
public struct Glob: Equatable, Sendable {
  public let text: String

  public init(_ text: String) { self.text = text }

  public func matches(_ candidate: String) -> Bool {
    let (pattern, text) = (Array(self.text.utf8), Array(candidate.utf8))
    var (p, t) = (0, 0)
    var star: (p: Int, t: Int)?
    while t < text.count {
      if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
        star = (p, t)
        p += 1
      } else if p < pattern.count, pattern[p] == text[t] {
        p += 1
        t += 1
      } else if let last = star {
        star = (last.p, last.t + 1)
        p = last.p + 1
        t = last.t + 1
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
  }
}
