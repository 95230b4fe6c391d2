public import Ledger
import Postgres

/// Every event of a mission, of the proposal and reaction that led to it, of its steps and runs, and of the agent
/// events that it emitted.
public struct MissionHistory: Sendable {
  public let mission: StreamID
  /// In the order of the log.
  public var events: [LoggedEvent] = []
  /// The agent event whose reaction led to it, if any.
  public var origin: StreamID?
  /// Whether the mission's row is in the tables now.
  public var isInTables = false
}

extension Session {
  /// Reads a mission's history from the log.
  ///
  /// It finds the streams by the rows and by the log itself: a mission and its steps are created in one entry, a lease
  /// names its run, a proposal's entry names its reaction. So it needs no scan of the log, and works without the rows.
  ///
  /// - Throws: `OPS_011` if the log has no such mission; `OPS_001` if a part of its history is archived, and no store
  ///   is available.
  public func history(ofMission id: StreamID) throws(OpsError) -> MissionHistory {
    try HistoryReader.read(self, first: [(Self.ownRows, Parameters(id))]) {
      (answers, reader) throws(OpsError) in
      var search = HistorySearch(id)
      try search.take(rows: answers[0])
      return try search.run { (question) throws(OpsError) in try reader.ask(question) }
    }
  }

  /// Every row of the tables that names the mission, as `kind, id`.
  private static let ownRows = Statement(
    """
    SELECT 'mission', m.id FROM public.ops_missions AS m WHERE m.id = $1::uuid
    UNION ALL SELECT 'step', s.id FROM public.ops_mission_steps AS s WHERE s.mission_id = $1::uuid
    UNION ALL SELECT 'run', r.id FROM public.ops_action_runs AS r
      WHERE r.step_id IN (SELECT s.id FROM public.ops_mission_steps AS s WHERE s.mission_id = $1::uuid)
    UNION ALL SELECT 'event', a.id FROM public.ops_agent_events AS a WHERE a.mission_id = $1::uuid
    """)
}

extension MissionHistory {
  /// Reads a mission's history from a store alone.
  ///
  /// - Throws: `OPS_011` if there is no such mission.
  public init(ofMission id: StreamID, in log: any ArchivedLog) throws(OpsError) {
    var search = HistorySearch(id)
    self = try search.run { (question) throws(OpsError) in
      try log.ask(question, in: 0...Int64.max)
    }
  }
}

private struct HistoryQuestion {
  var streams: Set<StreamID>
  var entries: Set<Int64>
  var mission: StreamID
  var proposal: StreamID?
}

/// The events of the question's streams; and of its entries, the streams that belong to the mission or its proposal.
private typealias HistoryAnswer = (events: [LoggedEvent], named: [StreamID])

extension HistoryReader {
  /// The answer of the database and the archived part of its log.
  fileprivate func ask(_ question: HistoryQuestion) throws(OpsError) -> HistoryAnswer {
    var entries = Parameters()
    entries.int8s(question.entries.sorted())
    entries.text(question.mission.description)
    entries.text(question.proposal?.description)
    let answers = try ask([
      (eventsOfStreams, Parameters(question.streams)), (streamsOfEntries, entries),
    ])
    let kept = try answers[0].events()
    let named = try answers[1].ids()
    guard let archivedPart else { return (kept, named) }
    var rest = question
    rest.streams = []
    rest.entries = question.entries.filter { $0 <= archivedPart.last }
    let isAsked = !rest.entries.isEmpty
    let more = isAsked ? try archivedPart.log().ask(rest, in: 0...archivedPart.last).named : []
    return (try archived(of: question.streams, hot: kept) + kept, named + more)
  }
}

private let eventsOfStreams = Statement(
  "SELECT \(LoggedEvent.columns) FROM ledger.events AS e WHERE e.stream = ANY ($1::uuid[])")

private let streamsOfEntries = Statement(
  """
  SELECT DISTINCT e.stream FROM ledger.events AS e WHERE e.entry = ANY ($1::bigint[])
    AND (e.type IN ('\(Step.eventType(.created))', '\(AgentEvent.eventType(.reported))')
        AND e.data->>'mission_id' = $2::text
      OR e.type = '\(Reaction.eventType(.done))' AND e.data->>'proposal_id' = $3::text)
  """)

extension ArchivedLog {
  /// The answer of the archived part of a log, or of a store alone.
  fileprivate func ask(
    _ question: HistoryQuestion, in entries: ClosedRange<Int64>
  ) throws(OpsError) -> HistoryAnswer {
    var answer: HistoryAnswer = ([], [])
    if !question.entries.isEmpty {
      try events(ArchivedQuery(entries, only: question.entries)) { (event) throws(OpsError) in
        if question.names(LoggedEvent(event)) { answer.named.append(event.stream) }
        return true
      }
    }
    if !question.streams.isEmpty {
      try events(ArchivedQuery(entries, .these(question.streams))) { (event) throws(OpsError) in
        answer.events.append(LoggedEvent(event))
        return true
      }
    }
    return answer
  }
}

extension HistoryQuestion {
  /// Whether an event's stream belongs to the mission or its proposal.
  fileprivate func names(_ event: LoggedEvent) -> Bool {
    switch EventType(event.type) {
    case .step(let kind):
      guard case .created(let plan)? = try? event.own(kind) else { return false }
      return plan.missionID == mission
    case .agentEvent(let kind):
      guard case .reported(let report, _)? = try? event.own(kind) else { return false }
      return report.missionID == mission
    case .reaction(let kind):
      guard case .done(let outcome)? = try? event.own(kind) else { return false }
      return outcome.proposalID == proposal
    case .ledger, .policy, .radar, .proposal, .mission, .run, .hold, nil: return false
    }
  }
}

/// Follows the ids in events until every stream that they name is read.
private struct HistorySearch {
  var history: MissionHistory
  private var known: Set<StreamID>
  private var wanted: Set<StreamID> = []
  private var entries: Set<Int64> = []
  private var entriesRead: Set<Int64> = []
  private var proposal: StreamID?

  init(_ mission: StreamID) {
    history = MissionHistory(mission: mission)
    known = [mission]
    wanted = [mission]
  }

  mutating func take(rows: Rows) throws(OpsError) {
    for (row, id) in try rows.ids(1).enumerated() {
      let kind = try onDatabase { () throws(PostgresError) in try rows.text(row, 0) }
      if kind == "mission" { history.isInTables = true } else { want(id) }
    }
  }

  mutating func run(
    _ ask: (HistoryQuestion) throws(OpsError) -> HistoryAnswer
  ) throws(OpsError) -> MissionHistory {
    while !wanted.isEmpty || !entries.isEmpty {
      let question = HistoryQuestion(
        streams: wanted, entries: entries, mission: history.mission, proposal: proposal)
      known.formUnion(wanted)
      entriesRead.formUnion(entries)
      (wanted, entries) = ([], [])
      let (events, named) = try ask(question)
      take(events)
      for id in named { want(id) }
      try requireMission()
    }
    history.events.sort { ($0.entry, $0.index) < ($1.entry, $1.index) }
    return history
  }

  private func requireMission() throws(OpsError) {
    let isThere = history.events.contains {
      $0.stream == history.mission && RowType(ofType: $0.type) == .mission
    }
    if isThere { return }
    throw OpsError(
      .notFound, "the log has no mission \(history.mission)", hint: "see `opsledger mission list`",
      facts: ["mission_id": history.mission.description])
  }

  mutating func take(_ events: [LoggedEvent]) {
    history.events += events
    for event in events {
      // The streams that an unreadable event named may have events in the same entry.
      do throws(Unreadable) { try follow(event) } catch { look(in: event.entry) }
    }
  }

  private mutating func follow(_ event: LoggedEvent) throws(Unreadable) {
    switch EventType(event.type) {
    case .mission(let kind): follow(try event.decoded(kind), in: event.entry)
    case .proposal(let kind):
      if case .submitted? = try event.own(kind) { look(in: event.entry) }
    case .step(let kind): follow(try event.own(kind), in: event.entry)
    case .reaction(let kind):
      guard case .queued(let intent)? = try event.own(kind) else { return }
      history.origin = intent.eventID
      want(intent.eventID)
    case .agentEvent, .run, .ledger, .policy, .radar, .hold, nil: break
    }
  }

  private mutating func follow(_ event: StreamEvent<Mission>, in entry: Int64) {
    switch event {
    case .own(.created(let proposal, _)):
      want(proposal, isProposal: true)
      // Its steps were created in the same entry.
      look(in: entry)
    case .own(.succeeded), .own(.failed): lookWithoutRows(in: entry)
    case .own(.started), .own(.reopened): break
    case .common(.inserted(let columns)), .common(.restored(let columns)):
      let proposal = columns.first { $0.column == "proposal_id" }?.value
      want(proposal?.idValue, isProposal: true)
    case .common(.amended), .common(.removed), .common(.archived), .common(.erased): break
    }
  }

  private mutating func follow(_ event: Step.Event?, in entry: Int64) {
    switch event {
    case .leased(let lease): want(lease.runID)
    case .succeeded, .deadLettered: lookWithoutRows(in: entry)
    case .created, .renewed, .attemptFailed, .retryScheduled, .skipped, .requeued, nil: break
    }
  }

  /// The rows name the mission's agent events. Without rows, the entries that emitted these do.
  private mutating func lookWithoutRows(in entry: Int64) {
    if !history.isInTables { look(in: entry) }
  }

  private mutating func look(in entry: Int64) {
    if !entriesRead.contains(entry) { entries.insert(entry) }
  }

  private mutating func want(_ id: StreamID?, isProposal: Bool = false) {
    guard let id else { return }
    if isProposal { proposal = id }
    if !known.contains(id) { wanted.insert(id) }
  }
}
