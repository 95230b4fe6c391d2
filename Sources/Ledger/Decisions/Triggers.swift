public import JSON

/// Facts about an agent event that its row does not have, for the reaction matrix.
public struct EventFacts: Equatable, Sendable {
  /// The conditions that hold for its data. The server evaluates them.
  public var holding: Set<String>
  /// The conditions that the server could not evaluate for its data.
  public var unanswered: Set<String>
  /// The number of reactions that led to it: 0 for a report from outside.
  public var depth: Int

  public init(holding: Set<String> = [], unanswered: Set<String> = [], depth: Int = 0) {
    self.holding = holding
    self.unanswered = unanswered
    self.depth = depth
  }
}

/// The answer of one pattern to one agent event.
public enum PatternAnswer: Sendable {
  /// `template` is the parsed form of the intent's template.
  case matched(Reaction.Intent, template: JSON)
  case unmatched(AgentEvent.PatternOutcome.Reason, detail: String?)
}

extension ReactionMatrix {
  /// Asks one pattern.
  ///
  /// - Parameters:
  ///   - draw: Gives a random number from 0 up to 1. Only a pattern with a probability below 1 calls it.
  ///   - last: The time of the pattern's last reaction.
  public func ask(
    _ pattern: Pattern, about event: AgentEvent, _ facts: EventFacts, at: Instant,
    last: Instant?, draw: () -> Double
  ) -> PatternAnswer {
    let data = event.data.asJSON
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

/// The result of an agent event.
public struct Triggered: Sendable {
  /// The answers of the patterns, in their order.
  public var outcomes: [AgentEvent.PatternOutcome] = []
  /// The requests of the queued reactions, with their patterns.
  public var requests: [(pattern: Pattern, request: Reaction.Request)] = []
}

extension Draft {
  /// Matches one agent event with the reaction matrix. Marks it processed with the answer of every pattern, and queues
  /// the reactions.
  ///
  /// - Parameters:
  ///   - lastReaction: The time of each pattern's last reaction. This call updates it.
  ///   - cause: The entry that reported the event.
  @discardableResult
  public mutating func trigger(
    _ event: AgentEvent, by matrix: ReactionMatrix, _ facts: EventFacts = EventFacts(),
    lastReaction: inout [String: Instant], cause: Int64?
  ) -> Triggered {
    let data = event.data.asJSON
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

  /// Reports an agent event of the loop. It is already processed unless a pattern may react to its type.
  mutating func report(own report: AgentEvent.Report, _ matrix: ReactionMatrix?) {
    let watched = matrix?.watches(ownType: report.type) ?? false
    var report = report
    report.dedupeKey = report.dedupeKey.map { free($0) }
    append(.reported(report, processed: !watched), of: AgentEvent.self, to: newID())
  }
}

extension Pattern {
  /// Whether the pattern may not react yet. A last reaction in the future, from a clock that was ahead, does not count.
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
