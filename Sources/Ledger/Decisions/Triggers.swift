import JSON

extension Draft {
  /// Matches one agent event against the reaction matrix: marks it processed with every pattern's
  /// answer, and queues the reactions.
  ///
  /// - Parameters:
  ///   - lastReaction: Per pattern, when it last reacted; brought up to date here.
  ///   - cause: The entry that reported the event.
  /// - Returns: How many reactions were queued.
  public mutating func trigger(
    _ event: AgentEvent, by matrix: ReactionMatrix, lastReaction: inout [String: Instant],
    cause: Int64?
  ) -> Int {
    let data = (try? JSON(parsing: event.data)) ?? .null
    let rendering = Rendering(event)
    var outcomes: [AgentEvent.PatternOutcome] = []
    var intents: [(StreamID, Reaction.Intent)] = []
    for pattern in matrix.patterns {
      if let reason = pattern.mismatch(with: event, data: data) {
        outcomes.append(.init(pattern: pattern.id, result: .unmatched(reason)))
      } else if pattern.probability < 1, ids.draw() >= pattern.probability {
        outcomes.append(.init(pattern: pattern.id, result: .unmatched(.probability)))
      } else if pattern.cools(at: at, since: lastReaction[pattern.id]) {
        outcomes.append(.init(pattern: pattern.id, result: .unmatched(.cooldown)))
      } else {
        do {
          let intent = try pattern.intent(for: event, rendering)
          let reaction = newID()
          lastReaction[pattern.id] = at
          intents.append((reaction, intent))
          outcomes.append(.init(pattern: pattern.id, result: .matched(reaction: reaction)))
        } catch {
          outcomes.append(
            .init(pattern: pattern.id, result: .unmatched(.template), detail: error.description))
        }
      }
    }
    append(.processed(outcomes), of: AgentEvent.self, to: event.id, cause: cause)
    for (reaction, intent) in intents {
      append(.queued(intent), of: Reaction.self, to: reaction, cause: cause)
    }
    return intents.count
  }

  /// Reports an agent event of our own: born processed unless some pattern watches for its like.
  mutating func report(own report: AgentEvent.Report, _ matrix: ReactionMatrix?) {
    let watched = matrix?.watches(ownType: report.type) ?? false
    append(.reported(report, processed: !watched), of: AgentEvent.self, to: newID())
  }
}

extension Pattern {
  func cools(at instant: Instant, since last: Instant?) -> Bool {
    guard cooldownMinutes > 0, let last else { return false }
    return instant.seconds(since: last) < cooldownMinutes * 60
  }

  func intent(for event: AgentEvent, _ rendering: Rendering) throws(OpsError) -> Reaction.Intent {
    let key: String
    if let dedupeKey {
      key = try rendering.render(text: dedupeKey)
    } else {
      key = "\(event.id):\(id)"
    }
    return Reaction.Intent(
      eventID: event.id, eventType: event.type, patternID: id, proposalSource: proposalSource,
      dedupeKey: key, template: try rendering.render(template).text)
  }
}
