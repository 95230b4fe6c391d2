public import JSON
public import Ledger
import Log
import Postgres

/// How one pattern reacted to an agent event, or would react now.
public struct PatternExplanation: Sendable {
  public var pattern: String
  public var matched: Bool
  public var reason: AgentEvent.PatternOutcome.Reason?
  public var detail: String?
  /// The random number that decided; nil where none was needed.
  public var draw: Double?
  /// The probability of a reaction, if it is less than 1.
  public var probability: Double?
  public var reaction: StreamID?
  public var reactionStatus: Reaction.Status?
  public var proposal: StreamID?
  public var proposalStatus: Proposal.Status?
  /// The rendered template of the proposal that the pattern would make.
  public var template: JSON?
  public var verdict: SubmissionVerdict?

  init(_ pattern: String, matched: Bool) {
    self.pattern = pattern
    self.matched = matched
  }
}

/// How the patterns reacted to an agent event.
public struct EventExplanation: Sendable {
  public var event: AgentEvent
  /// Whether the log has this; otherwise it would happen now.
  public var isRecorded: Bool
  public var depth = 0
  public var patterns: [PatternExplanation]
}

extension Engine {
  /// Explains an agent event of the log.
  ///
  /// - Throws: `OPS_011`.
  public func explain(_ id: StreamID) throws(OpsError) -> EventExplanation {
    let event: AgentEvent = try session.find(id, as: "event")
    var query = LogQuery(limit: 1, keeps: .last)
    query.stream = id
    query.type = AgentEvent.eventType(.processed)
    var recorded: LoggedEvent?
    try session.log(query) { recorded = $0 }
    guard let recorded else { return try foresee(event, depth: depth(of: id)) }
    return EventExplanation(
      event: event, isRecorded: true, patterns: try outcomes(recorded))
  }

  /// Explains an agent event that does not exist.
  public func explain(type: String, data: String) throws(OpsError) -> EventExplanation {
    var event = AgentEvent(blank: newCommandID())
    event.type = type
    event.data = data
    event.createdAt = try session.now()
    return try foresee(event, depth: 0)
  }

  // MARK: What happened

  private func outcomes(_ event: LoggedEvent) throws(OpsError) -> [PatternExplanation] {
    var patterns = try recorded(event).map { outcome in
      var pattern = PatternExplanation(outcome.pattern, matched: outcome.isMatch)
      switch outcome.result {
      case .matched(let reaction): pattern.reaction = reaction
      case .unmatched(let reason): pattern.reason = reason
      }
      (pattern.detail, pattern.draw) = (outcome.detail, outcome.draw)
      return pattern
    }
    try addReactions(to: &patterns)
    return patterns
  }

  private func recorded(_ event: LoggedEvent) throws(OpsError) -> [AgentEvent.PatternOutcome] {
    do throws(Unreadable) {
      guard
        case .own(.processed(let outcomes)) = try event.decoded(.own(.processed))
          as StreamEvent<AgentEvent>
      else { return [] }
      return outcomes
    } catch {
      throw OpsError(
        .inconsistentRow,
        "the recorded matches of agent event \(event.stream) cannot be read: \(error.reason)",
        hint: "see `opsledger log show --entry \(event.entry)`")
    }
  }

  private static let reactions = Statement(
    """
    SELECT \(Reaction.select("r")) FROM public.ops_agent_reactions AS r WHERE r.id = ANY ($1::uuid[])
    """)
  private static let proposals = Statement(
    """
    SELECT \(Proposal.select("p")) FROM public.ops_mission_proposals AS p WHERE p.id = ANY ($1::uuid[])
    """)

  private func addReactions(to patterns: inout [PatternExplanation]) throws(OpsError) {
    let reactions = Parameters { $0.uuids(patterns.compactMap(\.reaction)) }
    for reaction in try session.query(Self.reactions, reactions).rows(of: Reaction.self) {
      guard let index = patterns.firstIndex(where: { $0.reaction == reaction.id }) else { continue }
      let payload = (try? JSON(parsing: reaction.payload)) ?? .null
      patterns[index].reactionStatus = reaction.status
      patterns[index].detail = payload["error"]?.stringValue ?? patterns[index].detail
      patterns[index].proposal = payload["result"]?["r_proposal_id"]?.idValue
    }
    let proposals = Parameters { $0.uuids(patterns.compactMap(\.proposal)) }
    for proposal in try session.query(Self.proposals, proposals).rows(of: Proposal.self) {
      for index in patterns.indices where patterns[index].proposal == proposal.id {
        patterns[index].proposalStatus = proposal.status
      }
    }
  }

  // MARK: What would happen

  private static let depth = Statement(
    "SELECT \(causationDepth) FROM public.ops_agent_events AS a WHERE a.id = $1::uuid")

  private func depth(of id: StreamID) throws(OpsError) -> Int {
    let rows = try session.query(Self.depth, Parameters(id))
    return try rows.compactMap { (row) throws(PostgresError) in
      try rows.textIfPresent(row, 0).flatMap { Int($0) }
    }.first ?? 0
  }

  private func foresee(_ event: AgentEvent, depth: Int) throws(OpsError) -> EventExplanation {
    let policies = try policies()
    guard let matrix = policies.matrix.value else {
      throw policies.errors[ReactionMatrix.key]
        ?? OpsError(.policyNotFound, "there is no policy \(ReactionMatrix.key)")
    }
    let data = Parameters {
      $0.jsonb(event.data)
      $0.texts(matrix.conditions)
    }
    let evaluated = try session.query(all: [
      Conditions.limit(seconds: settings.conditionSeconds.alone), (Conditions.evaluate, data),
    ])[1]
    var facts = try evaluated.facts(0, 0, matrix.conditions)
    facts.depth = depth
    let last = try session.query(Self.lastReactions, Self.cooling(matrix)).instants()
    let today = try Gate.counts(policies.caps, session)
    let now = try session.now()
    let patterns = matrix.patterns.map { pattern in
      Self.foresee(
        matrix.ask(
          pattern, about: event, facts, at: now, last: last[pattern.id], draw: { 0 }), of: pattern,
        policies, today)
    }
    return EventExplanation(event: event, isRecorded: false, depth: depth, patterns: patterns)
  }

  private static func foresee(
    _ answer: PatternAnswer, of pattern: Pattern, _ policies: Policies, _ today: ProposalCounts
  ) -> PatternExplanation {
    switch answer {
    case .unmatched(let reason, let detail):
      var explained = PatternExplanation(pattern.id, matched: false)
      (explained.reason, explained.detail) = (reason, detail)
      return explained
    case .matched(let intent, let template):
      var explained = PatternExplanation(pattern.id, matched: true)
      explained.probability = pattern.probability < 1 ? pattern.probability : nil
      explained.template = template
      explained.verdict = policies.verdict(
        on: template, source: intent.proposalSource, executors: Executors.names, today: today)
      return explained
    }
  }
}
