import JSON
import Ledger
import Log
import Postgres

/// The locked rows of a batch of missions, and of what led to the missions.
struct LeavingRows {
  private let missions: [StreamID: Mission]
  private let proposals: [StreamID: Proposal]
  /// The number of missions of each proposal.
  private var sharers: [StreamID: Int] = [:]
  /// By mission.
  private let steps: [StreamID: [Step]]
  /// By step.
  private let runs: [StreamID?: [Run]]
  private let agentEvents: [StreamID: AgentEvent]
  /// The agent events of each mission.
  private let ownEvents: [StreamID?: [AgentEvent]]
  private let reactions: [StreamID: Reaction]
  /// The reactions to each agent event.
  private let answers: [StreamID?: [Reaction]]
  /// The proposals of the reactions that stay in the table.
  private var present: Set<StreamID>
  /// The rows that were archived with an earlier mission of the batch.
  private var gone: Set<StreamID> = []

  /// The statements that lock and read the rows: parents first, each table in the order of ids.
  struct Asked {
    fileprivate let missions: Read<[Mission]>
    fileprivate let proposals: Read<[Proposal]>
    fileprivate let agentEvents: Read<[AgentEvent]>
    fileprivate let reactions: Read<[Reaction]>
    fileprivate let steps: Read<[Step]>
    fileprivate let runs: Read<[Run]>
    fileprivate let present: Read<[StreamID]>
    fileprivate let sharers: Read<[StreamID: Int]>

    /// - Parameter origins: The reactions that made the missions' proposals; see ``Pruner``.
    init(_ ids: [StreamID], origins: [StreamID], in reads: inout Reads) {
      var (these, both) = (Parameters(), Parameters())
      these.uuids(ids)
      both.uuids(ids)
      both.uuids(origins)
      missions = reads.rows(of: Mission.self, lockMissions, these)
      proposals = reads.rows(of: Proposal.self, lockProposals, these)
      agentEvents = reads.rows(of: AgentEvent.self, lockAgentEvents, both)
      reactions = reads.rows(of: Reaction.self, lockReactions, both)
      steps = reads.rows(of: Step.self, lockSteps, these)
      runs = reads.rows(of: Run.self, lockRuns, these)
      present = reads.add(presentProposals, both) { (rows) throws(OpsError) in try rows.ids() }
      sharers = reads.add(sharedProposals, these) { (rows) throws(OpsError) in
        try onDatabase { () throws(PostgresError) in
          var sharers: [StreamID: Int] = [:]
          for row in 0..<rows.count {
            sharers[StreamID(try rows.uuid(row, 0))] = Int(try rows.int8(row, 1))
          }
          return sharers
        }
      }
    }
  }

  /// - Parameter condition: A condition on rows named `r`.
  private static func lock<R: Row>(_ rowType: R.Type, where condition: String) -> Statement {
    Statement(
      """
      SELECT \(R.select("r")) FROM public.\(R.table) AS r WHERE \(condition) ORDER BY r.id FOR UPDATE
      """)
  }

  private static let lockMissions = lock(Mission.self, where: "r.id = ANY ($1::uuid[])")
  private static let lockProposals = lock(
    Proposal.self,
    where:
      "r.id IN (SELECT m.proposal_id FROM public.ops_missions AS m WHERE m.id = ANY ($1::uuid[]))")
  private static let lockAgentEvents = lock(
    AgentEvent.self,
    where: """
      r.id IN (
        SELECT o.id FROM public.ops_agent_events AS o WHERE o.mission_id = ANY ($1::uuid[])
        UNION SELECT q.event_id FROM public.ops_agent_reactions AS q WHERE q.id = ANY ($2::uuid[]))
      """)
  /// The reactions to one of the agent events, and those that made one of the proposals.
  private static let answering = """
    r.id IN (
      SELECT unnest($2::uuid[])
      UNION SELECT q.id FROM public.ops_agent_reactions AS q WHERE q.event_id IN (
        SELECT a.id FROM public.ops_agent_events AS a WHERE a.mission_id = ANY ($1::uuid[])
        UNION SELECT o.event_id FROM public.ops_agent_reactions AS o WHERE o.id = ANY ($2::uuid[])))
    """
  private static let lockReactions = lock(Reaction.self, where: answering)
  private static let lockSteps = lock(Step.self, where: "r.mission_id = ANY ($1::uuid[])")
  private static let lockRuns = lock(
    Run.self,
    where: """
      r.step_id IN (SELECT s.id FROM public.ops_mission_steps AS s WHERE s.mission_id = ANY ($1::uuid[]))
      """)
  /// Uses the primary key. A manual change may have put something else than an id there, which names no proposal.
  private static let presentProposals = Statement(
    """
    SELECT p.id FROM public.ops_mission_proposals AS p WHERE p.id IN (
      SELECT CASE WHEN n.id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN n.id::uuid END
      FROM (SELECT r.payload -> 'result' ->> 'r_proposal_id' FROM public.ops_agent_reactions AS r
        WHERE \(answering)) AS n(id))
    """)
  private static let sharedProposals = Statement(
    """
    SELECT o.proposal_id, count(*) FROM public.ops_missions AS o
    WHERE o.proposal_id IN (
      SELECT m.proposal_id FROM public.ops_missions AS m WHERE m.id = ANY ($1::uuid[]))
    GROUP BY o.proposal_id
    """)

  init(_ asked: Asked, _ found: Found) throws(OpsError) {
    missions = Self.byID(try found[asked.missions], \.id)
    proposals = Self.byID(try found[asked.proposals], \.id)
    let events = try found[asked.agentEvents]
    agentEvents = Self.byID(events, \.id)
    ownEvents = Dictionary(grouping: events, by: \.missionID)
    let answering = try found[asked.reactions]
    reactions = Self.byID(answering, \.id)
    answers = Dictionary(grouping: answering, by: \.eventID)
    steps = Dictionary(grouping: try found[asked.steps], by: \.missionID)
    runs = Dictionary(grouping: try found[asked.runs], by: \.stepID)
    present = Set(try found[asked.present])
    sharers = try found[asked.sharers]
  }

  private static func byID<R>(_ rows: [R], _ id: (R) -> StreamID) -> [StreamID: R] {
    Dictionary(rows.map { (id($0), $0) }, uniquingKeysWith: { first, _ in first })
  }

  func holds(_ mission: StreamID) -> Bool { missions[mission] != nil }

  /// Sets the missions of the batch that are archived, so that a row which led to several is archived with the first.
  mutating func settle(leaving: [StreamID]) {
    var sharing = sharers
    for mission in leaving {
      guard let proposal = missions[mission]?.proposalID else { continue }
      sharing[proposal, default: 1] -= 1
      if sharing[proposal] == 0 { present.remove(proposal) }
    }
  }

  /// The rows that are archived with a mission, after the earlier missions of the batch.
  ///
  /// - Parameter origins: The reactions that made its proposal.
  /// - Returns: Nil if the mission was removed.
  func leaving(_ mission: StreamID, origins: [StreamID]) -> Leaving? {
    guard let row = missions[mission] else { return nil }
    var events = (ownEvents[mission] ?? []).map(\.id)
    for origin in origins {
      if let event = reactions[origin]?.eventID, !events.contains(event) { events.append(event) }
    }
    events.removeAll { gone.contains($0) || agentEvents[$0] == nil }
    var reacting = Set(origins)
    for event in events { reacting.formUnion((answers[event] ?? []).map(\.id)) }
    let steps = steps[mission] ?? []
    return Leaving(
      mission: row,
      proposal: row.proposalID.flatMap { sharers[$0] == 1 ? proposals[$0] : nil },
      steps: steps, runs: steps.flatMap { runs[$0.id] ?? [] },
      agentEvents: events.sorted().compactMap { agentEvents[$0] },
      reactions: reacting.subtracting(gone).sorted().compactMap { reactions[$0] },
      present: present)
  }

  /// Adds the rows that were archived with a mission.
  mutating func note(_ left: Set<StreamID>, of leaving: Leaving) {
    gone.formUnion(left)
    if let proposal = leaving.mission.proposalID { sharers[proposal, default: 1] -= 1 }
  }
}

/// Decides which rows are archived with one mission.
///
/// These are its steps, runs and agent events; its proposal, if no other mission has it; the reaction that made the
/// proposal; and the agent event of that reaction, if no row that stays refers to it. An agent event of the mission that
/// another open reaction answers stays, and its `mission_id` becomes NULL.
struct Leaving {
  let mission: Mission
  let proposal: Proposal?
  let steps: [Step]
  let runs: [Run]
  /// The mission's own, and those that led to it.
  let agentEvents: [AgentEvent]
  /// The reactions to these events, and those that made the proposal.
  let reactions: [Reaction]
  /// The proposals of these reactions that stay in the table.
  let present: Set<StreamID>

  /// Appends the events that archive rows, or take the mission from an agent event.
  ///
  /// - Parameter segment: The file of the store with the end of the mission's history, or a later one.
  /// - Returns: The archived rows.
  func leave(_ draft: inout Draft, segment: String) throws(OpsError) -> Set<StreamID> {
    var left: Set<StreamID> = []
    func archive<R: Row>(_ row: R, _ id: StreamID, key: String? = nil) throws(OpsError) {
      try draft.load(row, as: id)
      draft.append(
        StreamEvent<R>.common(.archived(segment: segment, dedupeKey: key, mission: mission.id)),
        to: id)
      left.insert(id)
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
    return left
  }

  private var leavingAgentEvents: Set<StreamID> {
    let leaving = agentEvents.filter { event in
      event.processedAt != nil && (event.missionID == nil || event.missionID == mission.id)
        && reactions.allSatisfy { $0.eventID != event.id || isOver($0) }
    }
    return Set(leaving.map(\.id))
  }

  /// Whether a reaction has ended, and its proposal does not stay.
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
  /// The proposal that the reaction made.
  fileprivate var proposalMade: StreamID? {
    (try? JSON(parsing: payload))?["result"]?["r_proposal_id"]?.idValue
  }
}
