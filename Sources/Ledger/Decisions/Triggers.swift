public import JSON

/// What is known of an agent event besides its row, when it meets the matrix.
public struct EventFacts: Equatable, Sendable {
  /// The conditions that hold for its data, as the server evaluated them.
  public var holding: Set<String>
  /// Those that the server could not evaluate for its data.
  public var unanswered: Set<String>
  /// How many reactions led to it: 0 for what was reported from outside.
  public var depth: Int

  public init(holding: Set<String> = [], unanswered: Set<String> = [], depth: Int = 0) {
    self.holding = holding
    self.unanswered = unanswered
    self.depth = depth
  }
}

/// What one pattern makes of one agent event.
public enum PatternAnswer: Sendable {
  /// With the template that the intent has as text.
  case matched(Reaction.Intent, template: JSON)
  case unmatched(AgentEvent.PatternOutcome.Reason, detail: String?)
}

extension ReactionMatrix {
  /// Asks one pattern.
  ///
  /// - Parameters:
  ///   - draw: A random number from 0 up to 1; asked for only where the pattern leaves it to chance.
  ///   - last: When the pattern last reacted.
  public func ask(
    _ pattern: Pattern, about event: AgentEvent, _ facts: EventFacts, at: Instant,
    last: Instant?, draw: () -> Double
  ) -> PatternAnswer {
    let data = (try? JSON(parsing: event.data)) ?? .null
    return ask(
      pattern, about: event, data, Rendering(event, data: data), facts, at: at, last: last,
      draw: draw)
  }

  func ask(
    _ pattern: Pattern, about event: AgentEvent, _ data: JSON, _ rendering: Rendering,
    _ facts: EventFacts, at: Instant, last: Instant?, draw: () -> Double
  ) -> PatternAnswer {
    if let reason = pattern.mismatch(with: event, data: data, holding: facts.holding) {
      let isUnanswered =
        reason == .condition && pattern.condition.map(facts.unanswered.contains) == true
      return .unmatched(
        reason,
        detail: isUnanswered ? "the condition cannot be evaluated for this event's data" : nil)
    }
    guard facts.depth < depthMax else {
      return .unmatched(
        .depth,
        detail: "a chain of \(facts.depth) reactions led here; max_causation_depth is \(depthMax)")
    }
    if pattern.probability < 1, draw() >= pattern.probability {
      return .unmatched(.probability, detail: nil)
    }
    if pattern.cools(at: at, since: last) { return .unmatched(.cooldown, detail: nil) }
    do {
      let template = try rendering.render(pattern.template)
      let intent = try pattern.intent(
        for: event, rendering, template: template.text, depth: facts.depth + 1)
      return .matched(intent, template: template)
    } catch {
      return .unmatched(.template, detail: error.description)
    }
  }
}

/// What an agent event led to.
public struct Triggered: Sendable {
  /// What each pattern made of it, in their order.
  public var outcomes: [AgentEvent.PatternOutcome] = []
  /// What the queued reactions ask for, and of which pattern each is.
  public var requests: [(pattern: Pattern, request: Reaction.Request)] = []
}

extension Draft {
  /// Matches one agent event against the reaction matrix: marks it processed with every pattern's
  /// answer, and queues the reactions.
  ///
  /// - Parameters:
  ///   - lastReaction: Per pattern, when it last reacted; brought up to date here.
  ///   - cause: The entry that reported the event.
  @discardableResult
  public mutating func trigger(
    _ event: AgentEvent, by matrix: ReactionMatrix, _ facts: EventFacts = EventFacts(),
    lastReaction: inout [String: Instant], cause: Int64?
  ) -> Triggered {
    let data = (try? JSON(parsing: event.data)) ?? .null
    let rendering = Rendering(event, data: data)
    var triggered = Triggered()
    var intents: [(StreamID, Reaction.Intent)] = []
    for pattern in matrix.patterns {
      var drawn: Double?
      let answer = matrix.ask(
        pattern, about: event, data, rendering, facts, at: at, last: lastReaction[pattern.id]
      ) {
        let draw = ids.draw()
        drawn = draw
        return draw
      }
      switch answer {
      case .matched(let intent, let template):
        let reaction = newID()
        lastReaction[pattern.id] = at
        intents.append((reaction, intent))
        triggered.requests.append(
          (pattern, Reaction.Request(of: reaction, intent, template: template)))
        triggered.outcomes.append(
          .init(pattern: pattern.id, result: .matched(reaction: reaction), draw: drawn))
      case .unmatched(let reason, let detail):
        triggered.outcomes.append(
          .init(pattern: pattern.id, result: .unmatched(reason), detail: detail, draw: drawn))
      }
    }
    append(.processed(triggered.outcomes), of: AgentEvent.self, to: event.id, cause: cause)
    for (reaction, intent) in intents {
      append(.queued(intent), of: Reaction.self, to: reaction, cause: cause)
    }
    return triggered
  }

  /// Reports an agent event of our own: born processed unless some pattern watches for its like.
  mutating func report(own report: AgentEvent.Report, _ matrix: ReactionMatrix?) {
    let watched = matrix?.watches(ownType: report.type) ?? false
    var report = report
    report.dedupeKey = report.dedupeKey.map { free($0) }
    append(.reported(report, processed: !watched), of: AgentEvent.self, to: newID())
  }
}

extension Pattern {
  /// A reaction of the future, which a clock that was ahead has left, cools nothing.
  func cools(at instant: Instant, since last: Instant?) -> Bool {
    guard cooldownMinutes > 0, let last, last <= instant else { return false }
    return instant.seconds(since: last) < cooldownMinutes * 60
  }

  func intent(
    for event: AgentEvent, _ rendering: Rendering, template: String, depth: Int
  ) throws(OpsError) -> Reaction.Intent {
    let key: String
    if let dedupeKey {
      key = try rendering.render(text: dedupeKey)
      try Proposal.check(dedupeKey: key)
    } else {
      key = "\(event.id):\(id)"
    }
    return Reaction.Intent(
      eventID: event.id, eventType: event.type, patternID: id, proposalSource: proposalSource,
      dedupeKey: key, template: template, depth: Int32(clamping: depth))
  }
}
