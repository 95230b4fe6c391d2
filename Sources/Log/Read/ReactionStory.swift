public import Ledger
import Postgres

/// One reaction with the agent event, proposal and mission that belong to it.
public struct ReactionStory: Sendable {
  public var reaction: Reaction
  /// The agent event that it answers, if the tables have it.
  public var event: AgentEvent?
  public var proposal: Proposal?
  public var mission: StreamID?
  /// The events of the reaction's stream, in the order of the log.
  public var events: [LoggedEvent]
}

extension Session {
  /// - Throws: `OPS_011` if there is no such reaction.
  public func story(ofReaction id: StreamID) throws(OpsError) -> ReactionStory {
    let one = Parameters(id)
    return try HistoryReader.read(
      self,
      first: [
        (Reaction.byID, one), (Self.reactionEvent, one), (Self.reactionProposal, one),
        (Self.reactionMission, one), (LoggedEvent.ofStream, one),
      ]
    ) { (answers, reader) throws(OpsError) in
      guard answers[0].count == 1 else { throw OpsError.notFound("reaction", id) }
      let hot = try answers[4].events()
      return ReactionStory(
        reaction: try answers[0].row(0, of: Reaction.self),
        event: try answers[1].rows(of: AgentEvent.self).first,
        proposal: try answers[2].rows(of: Proposal.self).first,
        mission: try answers[3].ids().first, events: try reader.archived(of: [id], hot: hot) + hot)
    }
  }

  private static let reactionEvent = Statement(
    """
    SELECT \(AgentEvent.select("a")) FROM public.ops_agent_events AS a WHERE a.id =
      (SELECT r.event_id FROM public.ops_agent_reactions AS r WHERE r.id = $1::uuid)
    """)
  /// A manual change may have put something else than an id into the result.
  private static let itsProposal = """
    (SELECT CASE WHEN r.payload->'result'->>'r_proposal_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      THEN (r.payload->'result'->>'r_proposal_id')::uuid END
     FROM public.ops_agent_reactions AS r WHERE r.id = $1::uuid)
    """
  private static let reactionProposal = Statement(
    "SELECT \(Proposal.select("p")) FROM public.ops_mission_proposals AS p WHERE p.id = \(itsProposal)"
  )
  private static let reactionMission = Statement(
    """
    SELECT m.id FROM public.ops_missions AS m WHERE m.proposal_id = \(itsProposal)
    ORDER BY m.created_at, m.id LIMIT 1
    """)
}

extension RowQuery where R == Reaction {
  /// - Parameter event: Only those that answer this agent event.
  public static func reactions(
    status: Reaction.Status?, event: StreamID?, pattern: String?, limit: Int
  ) -> RowQuery {
    var query = RowQuery(limit: limit)
    if let status { query.and("t.status = $?::text") { $0.text(status.rawValue) } }
    if let event { query.and("t.event_id = $?::uuid") { $0.uuid(event) } }
    if let pattern { query.and("t.payload->>'pattern_id' = $?::text") { $0.text(pattern) } }
    return query
  }
}
