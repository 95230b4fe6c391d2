public import Ledger
import Postgres

/// Every event of one mission: what started it, how it was decided, its steps and runs, and what it
/// reported itself.
public struct MissionHistory: Sendable {
  public let mission: StreamID
  /// In the order of the log.
  public var events: [LoggedEvent] = []
  /// The agent event whose reaction led to it, where one did.
  public var origin: StreamID?
  /// Whether its row is in the tables now.
  public var isInTables = false
}

extension Session {
  /// Reads a mission's history from the log.
  ///
  /// Streams are found through the rows, and through the log itself: a mission and its steps are
  /// created in one entry, a lease names its run, a proposal's entry names its reaction. So nothing
  /// is searched, however long the log is, and it works without the rows as well.
  ///
  /// - Throws: `OPS_011` where the log knows no such mission; `OPS_001` where a part of it has left the database
  ///   and no store is at hand.
  public func history(ofMission id: StreamID) throws(OpsError) -> MissionHistory {
    var one = Parameters()
    one.uuid(id)
    return try HistoryReader.read(self, first: [(Self.ownRows, one)]) {
      (answers, reader) throws(OpsError) in
      var search = HistorySearch(id, DatabaseSource(reader: reader))
      try search.take(rows: answers[0])
      return try search.run()
    }
  }

  /// Everything in the tables that names the mission, as `kind, id`.
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
  /// Reads a mission's history from what has left the database, or from a store alone.
  ///
  /// - Throws: `OPS_011` where there is no such mission.
  public init(ofMission id: StreamID, in log: any ArchivedLog) throws(OpsError) {
    var search = HistorySearch(id, ArchivedSource(log: log, entries: 0...Int64.max))
    self = try search.run()
  }
}

/// Where a history is looked for.
private protocol HistorySource {
  /// - Returns: The events of the streams; and the streams that the entries name as the mission's or its
  ///   proposal's.
  func ask(_ question: HistoryQuestion) throws(OpsError) -> (
    events: [LoggedEvent], named: [StreamID]
  )
}

private struct HistoryQuestion {
  var streams: Set<StreamID>
  var entries: Set<Int64>
  var mission: StreamID
  var proposal: StreamID?
}

/// What the database holds, and before that what has left it.
private struct DatabaseSource: HistorySource {
  let reader: HistoryReader

  func ask(_ question: HistoryQuestion) throws(OpsError) -> (
    events: [LoggedEvent], named: [StreamID]
  ) {
    var streams = Parameters()
    streams.uuids(question.streams)
    let answers = try reader.ask([
      (Self.ofStreams, streams), (Self.ofEntries, entryParameters(question)),
    ])
    let hot = try answers[0].events()
    var named = try answers[1].ids()
    guard let archivedPart = reader.archivedPart else { return (hot, named) }
    let archived = try reader.archived(of: question.streams, hot: hot)
    let entries = question.entries.filter { $0 <= archivedPart.last }
    if !entries.isEmpty {
      var question = question
      (question.streams, question.entries) = ([], entries)
      named += try ArchivedSource(log: archivedPart.log(), entries: 0...archivedPart.last).ask(
        question
      ).named
    }
    return (archived + hot, named)
  }

  private static let ofStreams = Statement(
    "SELECT \(LoggedEvent.columns) FROM ledger.events AS e WHERE e.stream = ANY ($1::uuid[])")
  /// Of single entries, what belongs to one mission or proposal.
  private static let ofEntries = Statement(
    """
    SELECT DISTINCT e.stream FROM ledger.events AS e WHERE e.entry = ANY ($1::bigint[])
      AND (e.type IN ('\(Step.eventType(.created))', '\(AgentEvent.eventType(.reported))')
          AND e.data->>'mission_id' = $2::text
        OR e.type = '\(Reaction.eventType(.done))' AND e.data->>'proposal_id' = $3::text)
    """)

  private func entryParameters(_ question: HistoryQuestion) -> Parameters {
    var parameters = Parameters()
    var array = ArrayBuilder(.int8)
    for entry in question.entries.sorted() { array.int8(entry) }
    parameters.array(array)
    parameters.text(question.mission.description)
    parameters.text(question.proposal?.description)
    return parameters
  }
}

/// What has left the database, or a store alone.
private struct ArchivedSource: HistorySource {
  let log: any ArchivedLog
  let entries: ClosedRange<Int64>

  func ask(_ question: HistoryQuestion) throws(OpsError) -> (
    events: [LoggedEvent], named: [StreamID]
  ) {
    var events: [LoggedEvent] = []
    var named: [StreamID] = []
    if !question.entries.isEmpty {
      try log.events(ArchivedQuery(entries, only: question.entries)) { (event) throws(OpsError) in
        if Self.isNamed(LoggedEvent(event), question) { named.append(event.stream) }
        return true
      }
    }
    if !question.streams.isEmpty {
      try log.events(ArchivedQuery(entries, .these(question.streams))) { (event) throws(OpsError) in
        events.append(LoggedEvent(event))
        return true
      }
    }
    return (events, named)
  }

  private static func isNamed(_ event: LoggedEvent, _ question: HistoryQuestion) -> Bool {
    do throws(Unreadable) {
      return switch EventType(event.type) {
      case .step(let kind): try event.own(kind)?.mission == question.mission
      case .agentEvent(let kind): try event.own(kind)?.mission == question.mission
      case .reaction(let kind):
        try event.own(kind)?.proposal.map { $0 == question.proposal } ?? false
      case .ledger, .policy, .radar, .proposal, .mission, .run, .hold, nil: false
      }
    } catch {
      return false
    }
  }
}

extension Step.Event {
  /// The mission that it makes a step of.
  fileprivate var mission: StreamID? {
    switch self {
    case .created(let plan): plan.missionID
    case .leased, .renewed, .succeeded, .attemptFailed, .retryScheduled, .deadLettered, .skipped,
      .requeued:
      nil
    }
  }
}

extension AgentEvent.Event {
  fileprivate var mission: StreamID? {
    switch self {
    case .reported(let report, _): report.missionID
    case .processed: nil
    }
  }
}

extension Reaction.Event {
  /// The proposal that came of it.
  fileprivate var proposal: StreamID? {
    switch self {
    case .done(let outcome): outcome.proposalID
    case .queued, .failed, .retried: nil
    }
  }
}

/// Follows the names that events carry, until no stream is left that was not read.
private struct HistorySearch {
  var history: MissionHistory
  private let source: any HistorySource
  private var known: Set<StreamID>
  private var wanted: Set<StreamID> = []
  private var entries: Set<Int64> = []
  private var entriesRead: Set<Int64> = []
  private var proposal: StreamID?

  init(_ mission: StreamID, _ source: any HistorySource) {
    history = MissionHistory(mission: mission)
    known = [mission]
    wanted = [mission]
    self.source = source
  }

  mutating func take(rows: Rows) throws(OpsError) {
    for (row, id) in try rows.ids(1).enumerated() {
      let kind = try onDatabase { () throws(PostgresError) in try rows.text(row, 0) }
      if kind == "mission" { history.isInTables = true } else { want(id) }
    }
  }

  mutating func run() throws(OpsError) -> MissionHistory {
    while !wanted.isEmpty || !entries.isEmpty {
      let question = HistoryQuestion(
        streams: wanted, entries: entries, mission: history.mission, proposal: proposal)
      known.formUnion(wanted)
      entriesRead.formUnion(entries)
      (wanted, entries) = ([], [])
      let (events, named) = try source.ask(question)
      take(events)
      for id in named { want(id) }
      try requireMission()
    }
    history.events.sort { ($0.entry, $0.index) < ($1.entry, $1.index) }
    return history
  }

  private func requireMission() throws(OpsError) {
    guard !history.events.contains(where: { $0.stream == history.mission && $0.isOfMission })
    else { return }
    throw OpsError(
      .notFound, "the log has no mission \(history.mission)", hint: "see `opsledger mission list`",
      facts: ["mission_id": history.mission.description])
  }

  mutating func take(_ events: [LoggedEvent]) {
    history.events += events
    for event in events {
      // What an event named that cannot be read may lie beside it.
      do throws(Unreadable) { try follow(event) } catch { look(in: event.entry) }
    }
  }

  private mutating func follow(_ event: LoggedEvent) throws(Unreadable) {
    switch EventType(event.type) {
    case .mission(let kind): follow(try event.decoded(kind), in: event.entry)
    case .proposal(let kind): if let own = try event.own(kind) { follow(own, in: event.entry) }
    case .step(let kind): if let own = try event.own(kind) { follow(own, in: event.entry) }
    case .reaction(let kind): if let own = try event.own(kind) { follow(own) }
    case .agentEvent, .run, .ledger, .policy, .radar, .hold, nil: break
    }
  }

  private mutating func follow(_ event: StreamEvent<Mission>, in entry: Int64) {
    switch event {
    case .own(.created(let proposal, _)):
      want(proposal, isProposal: true)
      // Its steps were made with it.
      look(in: entry)
    case .own(.succeeded), .own(.failed): lookWithoutRows(in: entry)
    case .own(.started), .own(.reopened): break
    case .common(.inserted(let columns)), .common(.restored(let columns)):
      let proposal = columns.first { $0.column == "proposal_id" }?.value
      want(proposal?.idValue, isProposal: true)
    case .common(.amended), .common(.removed), .common(.archived), .common(.erased): break
    }
  }

  private mutating func follow(_ event: Proposal.Event, in entry: Int64) {
    switch event {
    case .submitted: look(in: entry)
    case .gateRefused, .autoApproved, .voteCalled, .voteCast, .voteExpired, .approved, .rejected:
      break
    }
  }

  private mutating func follow(_ event: Step.Event, in entry: Int64) {
    switch event {
    case .leased(let lease): want(lease.runID)
    case .succeeded, .deadLettered: lookWithoutRows(in: entry)
    case .created, .renewed, .attemptFailed, .retryScheduled, .skipped, .requeued: break
    }
  }

  private mutating func follow(_ event: Reaction.Event) {
    switch event {
    case .queued(let intent):
      history.origin = intent.eventID
      want(intent.eventID)
    case .done, .failed, .retried: break
    }
  }

  /// The rows tell which agent events are the mission's; without them, the entries that emitted them.
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

extension LoggedEvent {
  fileprivate var isOfMission: Bool { RowType(ofType: type) == .mission }
}
