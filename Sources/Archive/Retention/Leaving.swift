import JSON
import Ledger
import Log
import Postgres

/// The rows that a mission takes along, read under their locks, and which of them leave.
///
/// Its own steps, runs and agent events go with it, its proposal where no other mission has that one, the reaction
/// that proposed it, and the agent event which that reaction answers, once nothing that stays is about it. An agent
/// event of its own that something else still answers stays, without the mission's name.
struct Leaving {
  let mission: Mission
  private let proposal: Proposal?
  private let steps: [Step]
  private let runs: [Run]
  /// Its own, and those that led to it.
  private let agentEvents: [AgentEvent]
  /// All that answer one of them, or made the proposal.
  private let reactions: [Reaction]
  /// Of the proposals that those reactions made, the ones that are in the table.
  private let present: Set<StreamID>

  // MARK: Reading

  /// Locks and reads, parents first.
  ///
  /// - Parameter origins: Reactions that made its proposal; see ``Pruner``.
  static func load(_ mission: StreamID, origins: [StreamID]) -> [(Statement, Parameters)] {
    var (one, both) = (Parameters(), Parameters())
    one.uuid(mission)
    both.uuid(mission)
    both.uuids(origins)
    return [
      (lockMission, one), (lockProposal, one), (lockAgentEvents, both), (lockReactions, both),
      (lockSteps, one), (lockRuns, one), (presentProposals, both),
    ]
  }

  private static let lockMission = Statement(
    "SELECT \(Mission.select("m")) FROM ops_missions AS m WHERE m.id = $1::uuid FOR UPDATE")
  /// None where another mission has it too.
  private static let lockProposal = Statement(
    """
    SELECT \(Proposal.select("p")) FROM ops_mission_proposals AS p
    WHERE p.id = (SELECT m.proposal_id FROM ops_missions AS m WHERE m.id = $1::uuid)
      AND NOT EXISTS (SELECT FROM ops_missions AS o WHERE o.proposal_id = p.id AND o.id <> $1::uuid)
    FOR UPDATE
    """)
  private static let lockAgentEvents = Statement(
    """
    SELECT \(AgentEvent.select("a")) FROM ops_agent_events AS a
    WHERE a.mission_id = $1::uuid OR a.id IN (
      SELECT r.event_id FROM ops_agent_reactions AS r WHERE r.id = ANY ($2::uuid[]))
    ORDER BY a.id FOR UPDATE
    """)
  private static let answering = """
    r.id = ANY ($2::uuid[]) OR r.event_id IN (
      SELECT a.id FROM ops_agent_events AS a WHERE a.mission_id = $1::uuid
      UNION ALL SELECT o.event_id FROM ops_agent_reactions AS o WHERE o.id = ANY ($2::uuid[]))
    """
  private static let lockReactions = Statement(
    """
    SELECT \(Reaction.select("r")) FROM ops_agent_reactions AS r WHERE \(answering)
    ORDER BY r.id FOR UPDATE
    """)
  private static let lockSteps = Statement(
    """
    SELECT \(Step.select("s")) FROM ops_mission_steps AS s WHERE s.mission_id = $1::uuid
    ORDER BY s.id FOR UPDATE
    """)
  private static let lockRuns = Statement(
    """
    SELECT \(Run.select("r")) FROM ops_action_runs AS r
    WHERE r.step_id IN (SELECT s.id FROM ops_mission_steps AS s WHERE s.mission_id = $1::uuid)
    ORDER BY r.id FOR UPDATE
    """)
  private static let presentProposals = Statement(
    """
    SELECT p.id FROM ops_mission_proposals AS p WHERE p.id::text IN (
      SELECT r.payload -> 'result' ->> 'r_proposal_id' FROM ops_agent_reactions AS r
      WHERE \(answering))
    """)

  static let loadCount = 7

  /// - Returns: Nil where the mission is not there any more.
  init?(_ answers: ArraySlice<Rows>) throws(OpsError) {
    let answers = Array(answers)
    guard let mission = try answers[0].rows(of: Mission.self).first else { return nil }
    self.mission = mission
    proposal = try answers[1].rows(of: Proposal.self).first
    agentEvents = try answers[2].rows(of: AgentEvent.self)
    reactions = try answers[3].rows(of: Reaction.self)
    steps = try answers[4].rows(of: Step.self)
    runs = try answers[5].rows(of: Run.self)
    present = Set(try answers[6].ids())
  }

  // MARK: Deciding

  /// Appends what leaves, and what only loses the mission's name.
  ///
  /// - Parameter segment: The file of the store that its history ends in, or before.
  func leave(_ draft: inout Draft, segment: String) throws(OpsError) {
    func archive<N: Noun>(_ row: N, _ id: StreamID, key: String? = nil) throws(OpsError) {
      try draft.load(row, as: id)
      draft.append(
        StreamEvent<N>.common(.archived(segment: segment, dedupeKey: key)), to: id)
    }
    let leavingEvents = leavingAgentEvents
    for run in runs { try archive(run, run.id) }
    for step in steps { try archive(step, step.id) }
    for reaction in reactions where leaves(reaction, with: leavingEvents) {
      try archive(reaction, reaction.id)
    }
    for event in agentEvents {
      if leavingEvents.contains(event.id) {
        try archive(event, event.id, key: event.dedupeKey)
      } else if event.missionID == mission.id {
        try draft.load(event, as: event.id)
        let change = ColumnChange("mission_id", from: .uuid(mission.id), to: .null)
        draft.append(StreamEvent<AgentEvent>.common(.amended([change])), to: event.id)
      }
    }
    try archive(mission, mission.id)
    if let proposal { try archive(proposal, proposal.id, key: proposal.dedupeKey) }
  }

  private var leavingAgentEvents: Set<StreamID> {
    var leaving: Set<StreamID> = []
    for event in agentEvents {
      guard event.processedAt != nil, event.missionID == nil || event.missionID == mission.id,
        reactions.allSatisfy({ $0.eventID != event.id || isOver($0) })
      else { continue }
      leaving.insert(event.id)
    }
    return leaving
  }

  /// It has led to nothing that stays.
  private func isOver(_ reaction: Reaction) -> Bool {
    guard reaction.status == .done || reaction.status == .failed else { return false }
    guard let made = reaction.proposalMade else { return true }
    return made == proposal?.id || !present.contains(made)
  }

  private func leaves(_ reaction: Reaction, with events: Set<StreamID>) -> Bool {
    guard isOver(reaction) else { return false }
    if let made = reaction.proposalMade, made == proposal?.id { return true }
    return reaction.eventID.map(events.contains) ?? false
  }
}

extension Reaction {
  /// The proposal that it led to.
  fileprivate var proposalMade: StreamID? {
    (try? JSON(parsing: payload))?["result"]?["r_proposal_id"]?.stringValue.flatMap { StreamID($0) }
  }
}
