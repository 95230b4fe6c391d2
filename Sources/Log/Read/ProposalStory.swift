public import Ledger
import Postgres

/// One proposal with what its history says of how it was decided.
public struct ProposalStory: Sendable {
  public var proposal: Proposal
  public var mission: StreamID?
  public var missionStatus: Mission.Status?
  /// Of the proposal's stream, in the order of the log.
  public var events: [LoggedEvent]
  /// The database's clock, for how long a vote still runs.
  public var now: Instant
}

extension Session {
  /// - Throws: `OPS_011` where there is no such proposal.
  public func story(ofProposal id: StreamID) throws(OpsError) -> ProposalStory {
    var one = Parameters()
    one.uuid(id)
    return try HistoryReader.read(
      self,
      first: [
        (Self.proposalRow, one), (Self.proposalMission, one), (Self.proposalEvents, one),
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

  private static let proposalRow = Statement(
    "SELECT \(Proposal.select("p")) FROM public.ops_mission_proposals AS p WHERE p.id = $1::uuid")
  private static let proposalMission = Statement(
    """
    SELECT \(Mission.select("m")) FROM public.ops_missions AS m WHERE m.proposal_id = $1::uuid
    ORDER BY m.created_at, m.id LIMIT 1
    """)
  private static let proposalEvents = Statement(
    """
    SELECT \(LoggedEvent.columns) FROM ledger.events AS e WHERE e.stream = $1::uuid
    ORDER BY e.entry, e.index
    """)
}
