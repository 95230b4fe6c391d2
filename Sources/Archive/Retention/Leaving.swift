import JSON
import Ledger
import Log
import Postgres

/// The rows of a batch of missions, and what led to them, read under their locks.
struct LeavingRows {
  private let missions: [StreamID: Mission]
  private let proposals: [StreamID: Proposal]
  /// How many missions have each of these proposals.
  private var sharers: [StreamID: Int] = [:]
  /// By mission.
  private let steps: [StreamID: [Step]]
  /// By step.
  private let runs: [StreamID: [Run]]
  private let agentEvents: [StreamID: AgentEvent]
  /// The agent events of each mission.
  private var ownEvents: [StreamID: [StreamID]] = [:]
  private let reactions: [StreamID: Reaction]
  /// Those that answer each agent event.
  private var answers: [StreamID: [StreamID]] = [:]
  /// Of the proposals that the reactions made, the ones that stay in the table.
  private var present: Set<StreamID>
  /// Rows that have left with an earlier mission of the batch.
  private var gone: Set<StreamID> = []

  // MARK: Reading

  /// Locks and reads, parents first, each in the order of ids.
  struct Asked {
    fileprivate let missions: Read<[Mission]>
    fileprivate let proposals: Read<[Proposal]>
    fileprivate let agentEvents: Read<[AgentEvent]>
    fileprivate let reactions: Read<[Reaction]>
    fileprivate let steps: Read<[Step]>
    fileprivate let runs: Read<[Run]>
    fileprivate let present: Read<[StreamID]>
    fileprivate let sharers: Read<[StreamID: Int]>

    /// - Parameter origins: Reactions that made the missions' proposals; see ``Pruner``.
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

  /// - Parameter condition: Which rows; they are called r.
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
  /// All that answer one of the agent events, or made one of the proposals.
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
  /// By the key's index: what a hand put there in place of an id names no proposal.
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
    for event in events {
      if let mission = event.missionID { ownEvents[mission, default: []].append(event.id) }
    }
    let answering = try found[asked.reactions]
    reactions = Self.byID(answering, \.id)
    for reaction in answering {
      if let event = reaction.eventID { answers[event, default: []].append(reaction.id) }
    }
    steps = Dictionary(grouping: try found[asked.steps], by: \.missionID)
    var runs: [StreamID: [Run]] = [:]
    for run in try found[asked.runs] {
      if let step = run.stepID { runs[step, default: []].append(run) }
    }
    self.runs = runs
    present = Set(try found[asked.present])
    sharers = try found[asked.sharers]
  }

  private static func byID<R>(_ rows: [R], _ id: (R) -> StreamID) -> [StreamID: R] {
    Dictionary(rows.map { (id($0), $0) }, uniquingKeysWith: { first, _ in first })
  }

  func holds(_ mission: StreamID) -> Bool { missions[mission] != nil }

  /// Takes in which missions of the batch leave, so that what led to several of them leaves with the first.
  mutating func settle(leaving: [StreamID]) {
    var sharing = sharers
    for mission in leaving {
      guard let proposal = missions[mission]?.proposalID else { continue }
      sharing[proposal, default: 1] -= 1
      if sharing[proposal] == 0 { present.remove(proposal) }
    }
  }

  /// What goes with a mission, after the earlier ones of the batch.
  ///
  /// - Parameter origins: The reactions that made its proposal.
  /// - Returns: Nil where the mission is not there any more.
  func leaving(_ mission: StreamID, origins: [StreamID]) -> Leaving? {
    guard let row = missions[mission] else { return nil }
    var events = ownEvents[mission] ?? []
    for origin in origins {
      if let event = reactions[origin]?.eventID, !events.contains(event) { events.append(event) }
    }
    events.removeAll { gone.contains($0) || agentEvents[$0] == nil }
    var reacting = Set(origins)
    for event in events { reacting.formUnion(answers[event] ?? []) }
    let steps = steps[mission] ?? []
    return Leaving(
      mission: row,
      proposal: row.proposalID.flatMap { sharers[$0] == 1 ? proposals[$0] : nil },
      steps: steps, runs: steps.flatMap { runs[$0.id] ?? [] },
      agentEvents: events.sorted().compactMap { agentEvents[$0] },
      reactions: reacting.subtracting(gone).sorted().compactMap { reactions[$0] },
      present: present)
  }

  /// Takes in what a mission took along.
  mutating func note(_ left: Set<StreamID>, of leaving: Leaving) {
    gone.formUnion(left)
    if let proposal = leaving.mission.proposalID { sharers[proposal, default: 1] -= 1 }
  }
}

/// The rows that one mission takes along, and which of them leave.
///
/// Its own steps, runs and agent events go with it, its proposal where no other mission has that one, the reaction
/// that proposed it, and the agent event which that reaction answers, once nothing that stays is about it. An agent
/// event of its own that something else still answers stays, without the mission's name.
struct Leaving {
  let mission: Mission
  let proposal: Proposal?
  let steps: [Step]
  let runs: [Run]
  /// Its own, and those that led to it.
  let agentEvents: [AgentEvent]
  /// All that answer one of them, or made the proposal.
  let reactions: [Reaction]
  /// Of the proposals that those reactions made, the ones that stay in the table.
  let present: Set<StreamID>

  // MARK: Deciding

  /// Appends what leaves, and what only loses the mission's name.
  ///
  /// - Parameter segment: The file of the store that its history ends in, or before.
  /// - Returns: The rows that leave.
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
    (try? JSON(parsing: payload))?["result"]?["r_proposal_id"]?.idValue
  }
}
