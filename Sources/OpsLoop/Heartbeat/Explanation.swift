public import JSON
public import Ledger
import Log
import Postgres

/// What one pattern made of an agent event, or would make of it.
public struct PatternExplanation: Sendable {
  public var pattern: String
  public var matched: Bool
  public var reason: AgentEvent.PatternOutcome.Reason?
  public var detail: String?
  /// The random number that decided, where the matrix was asked.
  public var draw: Double?
  /// Where it would be left to chance.
  public var probability: Double?
  public var reaction: StreamID?
  public var reactionStatus: Reaction.Status?
  public var proposal: StreamID?
  public var proposalStatus: Proposal.Status?
  /// The rendered template, of what would be proposed.
  public var template: JSON?
  public var verdict: SubmissionVerdict?

  init(_ pattern: String, matched: Bool) {
    self.pattern = pattern
    self.matched = matched
  }
}

/// Why an agent event led to what it led to.
public struct EventExplanation: Sendable {
  public var event: AgentEvent
  /// Whether this is what happened; else it is what would happen now.
  public var isRecorded: Bool
  public var depth = 0
  public var patterns: [PatternExplanation]
}

extension Engine {
  /// Explains an agent event that was reported.
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
    var patterns: [PatternExplanation] = []
    for outcome in try recorded(event) {
      var pattern = PatternExplanation(outcome.pattern, matched: outcome.isMatch)
      switch outcome.result {
      case .matched(let reaction): pattern.reaction = reaction
      case .unmatched(let reason): pattern.reason = reason
      }
      (pattern.detail, pattern.draw) = (outcome.detail, outcome.draw)
      patterns.append(pattern)
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
        "what the patterns made of agent event \(event.stream) cannot be read: \(error.reason)",
        hint: "see `opsledger log show --entry \(event.entry)`")
    }
  }

  private static let reactions = Statement(
    "SELECT \(Reaction.select("r")) FROM public.ops_agent_reactions AS r WHERE r.id = ANY ($1::uuid[])"
  )
  private static let proposals = Statement(
    """
    SELECT \(Proposal.select("p")) FROM public.ops_mission_proposals AS p WHERE p.id = ANY ($1::uuid[])
    """)

  private func addReactions(to patterns: inout [PatternExplanation]) throws(OpsError) {
    var parameters = Parameters()
    parameters.uuids(patterns.compactMap(\.reaction))
    let reactions = try session.query(Self.reactions, parameters).rows(of: Reaction.self)
    for reaction in reactions {
      guard let index = patterns.firstIndex(where: { $0.reaction == reaction.id }) else { continue }
      let payload = (try? JSON(parsing: reaction.payload)) ?? .null
      patterns[index].reactionStatus = reaction.status
      patterns[index].detail = payload["error"]?.stringValue ?? patterns[index].detail
      patterns[index].proposal = payload["result"]?["r_proposal_id"]?.stringValue.flatMap {
        StreamID($0)
      }
    }
    var wanted = Parameters()
    wanted.uuids(patterns.compactMap(\.proposal))
    for proposal in try session.query(Self.proposals, wanted).rows(of: Proposal.self) {
      for index in patterns.indices where patterns[index].proposal == proposal.id {
        patterns[index].proposalStatus = proposal.status
      }
    }
  }

  // MARK: What would happen

  private static let depth = Statement(
    "SELECT \(causationDepth) FROM public.ops_agent_events AS a WHERE a.id = $1::uuid")

  private func depth(of id: StreamID) throws(OpsError) -> Int {
    var parameters = Parameters()
    parameters.uuid(id)
    let rows = try session.query(Self.depth, parameters)
    return try onRow { () throws(PostgresError) in
      rows.count == 0 ? 0 : try rows.textIfPresent(0, 0).flatMap { Int($0) } ?? 0
    }
  }

  private func foresee(_ event: AgentEvent, depth: Int) throws(OpsError) -> EventExplanation {
    let policies = try policies()
    guard let matrix = policies.matrix.value else {
      throw policies.errors[ReactionMatrix.key]
        ?? OpsError(.policyNotFound, "there is no policy \(ReactionMatrix.key)")
    }
    var data = Parameters()
    data.jsonb(event.data)
    data.texts(matrix.conditions)
    let evaluated = try session.query(all: [
      Conditions.limit(seconds: settings.conditionSeconds.alone), (Conditions.evaluate, data),
    ])[1]
    var facts = try evaluated.facts(0, 0, matrix.conditions)
    facts.depth = depth
    var cooling = Parameters()
    cooling.texts(matrix.patterns.filter { $0.cooldownMinutes > 0 }.map(\.id))
    let last = try session.query(Self.lastReactions, cooling).instants()
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
