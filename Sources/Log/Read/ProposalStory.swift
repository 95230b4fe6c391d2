public import Ledger
import Postgres

public struct ProposalStory: Sendable {
  public var proposal: Proposal
  public var mission: StreamID?
  public var missionStatus: Mission.Status?
  /// The events of the proposal's stream, in the order of the log.
  public var events: [LoggedEvent]
  /// The database's clock, to say how long a vote still runs.
  public var now: Instant
}

extension Session {
  /// - Throws: `OPS_011` if there is no such proposal.
  public func story(ofProposal id: StreamID) throws(OpsError) -> ProposalStory {
    let one = Parameters(id)
    return try HistoryReader.read(
      self,
      first: [
        (Proposal.byID, one), (Self.proposalMission, one), (LoggedEvent.ofStream, one),
        (Self.clock, Parameters()),
      ]
    ) { (answers, reader) throws(OpsError) in
      guard answers[0].count == 1 else { throw OpsError.notFound("proposal", id) }
      let hot = try answers[2].events()
      let missions = try answers[1].rows(of: Mission.self)
      return ProposalStory(
        proposal: try answers[0].row(0, of: Proposal.self), mission: missions.first?.id,
        missionStatus: missions.first?.status,
        events: try reader.archived(of: [id], hot: hot) + hot,
        now: try answers[3].clock())
    }
  }

  private static let proposalMission = Statement(
    """
    SELECT \(Mission.select("m")) FROM public.ops_missions AS m WHERE m.proposal_id = $1::uuid
    ORDER BY m.created_at, m.id LIMIT 1
    """)
}
