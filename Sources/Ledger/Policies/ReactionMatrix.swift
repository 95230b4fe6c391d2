public import JSON

/// Policy `reaction_matrix`: the agent events that lead to proposals.
public struct ReactionMatrix: PolicyValue, Equatable {
  public static let key = "reaction_matrix"

  /// The longest chain of reactions. No pattern reacts to an event of this depth.
  public static let depthMaxDefault = 16

  public var patterns: [Pattern]
  public var depthMax: Int
  /// The SQL/JSON paths of all patterns, each once.
  public let conditions: [String]

  /// - Throws: `OPS_008`, which names the pattern and the field.
  public init(_ value: JSON) throws(OpsError) {
    guard let list = value["patterns"]?.arrayValue else {
      throw OpsError(
        .patternInvalid, "policy reaction_matrix has no list of patterns",
        hint: "see `opsledger policy get reaction_matrix`")
    }
    let fields = try FieldReader(Self.key, value, code: .patternInvalid)
    depthMax = try fields.whole("max_causation_depth", in: 1...1000) ?? Self.depthMaxDefault
    var patterns: [Pattern] = []
    var ids = Set<String>()
    for (index, item) in list.enumerated() {
      let pattern = try Pattern(item, index: index)
      guard ids.insert(pattern.id).inserted else {
        throw OpsError(
          .patternInvalid, "policy reaction_matrix: two patterns have the id \(pattern.id)",
          hint: "see `opsledger policy get reaction_matrix`")
      }
      patterns.append(pattern)
    }
    self.patterns = patterns
    conditions = Set(patterns.compactMap(\.condition)).sorted()
  }

  /// Whether a pattern may react to an agent event of the loop: a pattern's type begins with the event's first word and
  /// its colon.
  public func watches(ownType type: String) -> Bool {
    guard let colon = type.firstIndex(of: ":") else { return false }
    let prefix = type[...colon]
    return patterns.contains { $0.types.contains { $0.text.hasPrefix(prefix) } }
  }
}

/// One pattern of the reaction matrix.
public struct Pattern: Equatable, Sendable {
  public var id: String
  /// A name for people.
  public var name: String?
  public var types: [Glob]
  public var tags: [String]
  public var source: String?
  public var probability: Double
  public var cooldownMinutes: Double
  public var dedupeKey: String?
  public var proposalSource: Proposal.Source
  public var template: JSON
  /// An SQL/JSON path for the event's data, which the server evaluates. The condition holds if the first item of the
  /// result is neither false nor null.
  public var condition: String?

  public static let conditionBytesMax = 2000

  init(_ value: JSON, index: Int) throws(OpsError) {
    let name = value["id"]?.stringValue ?? "number \(index)"
    let fields = try FieldReader("reaction_matrix: pattern \(name)", value, code: .patternInvalid)
    guard let id = try fields.string("id"), !id.isEmpty else { throw fields.wrong("id", "text") }
    self.id = id
    self.name = try fields.string("name")
    types = try Self.types(fields)
    tags = fields.members["tags"] == nil ? [] : try fields.strings("tags") ?? []
    source = try fields.string("source")
    probability = try Self.probability(fields)
    let coolsNever = fields.members["cooldown_minutes"]?.doubleValue == 0
    cooldownMinutes = coolsNever ? 0 : try fields.positive("cooldown_minutes") ?? 0
    dedupeKey = try fields.string("dedupe_key")
    proposalSource =
      try fields.label("proposal_source", as: Proposal.Source.self) ?? .reaction
    guard let template = value["template"] ?? value["proposal"], template.objectValue != nil else {
      throw fields.wrong("template", "an object")
    }
    self.template = template
    condition = try fields.string("condition")
    guard (condition?.utf8.count ?? 1) <= Self.conditionBytesMax else {
      throw fields.wrong("condition", "a SQL/JSON path of at most \(Self.conditionBytesMax) bytes")
    }
  }

  private static func types(_ fields: FieldReader) throws(OpsError) -> [Glob] {
    let field = fields.members["event_type"] != nil ? "event_type" : "type"
    switch fields.members[field] {
    case nil: return [Glob("*")]
    case .string(let text): return [Glob(text)]
    default: return (try fields.strings(field) ?? []).map(Glob.init)
    }
  }

  private static func probability(_ fields: FieldReader) throws(OpsError) -> Double {
    guard let value = fields.members["probability"] else { return 1 }
    guard let number = value.doubleValue, (0...1).contains(number) else {
      throw fields.wrong("probability", "a number from 0 to 1")
    }
    return number
  }

  /// The reason why the pattern does not match an event; nil if it does. Depth, probability, cooldown and template are
  /// checked later.
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

/// A type in which `*` matches any text, also an empty one.
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
