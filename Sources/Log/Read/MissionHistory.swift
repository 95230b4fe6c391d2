import JSON
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
  /// - Throws: `OPS_011` where the log knows no such mission.
  public func history(ofMission id: StreamID) throws(OpsError) -> MissionHistory {
    var one = Parameters()
    one.uuid(id)
    return try HistoryReader.read(
      self, first: [(Self.ownRows, one), (Self.ofStreams, Self.streams([id]))]
    ) { (answers, reader) throws(OpsError) in
      var search = HistorySearch(id, reader)
      try search.take(rows: answers[0])
      try search.take(try answers[1].events())
      guard search.history.events.first?.type.hasPrefix("mission.") == true else {
        throw OpsError(
          .notFound, "the log has no mission \(id)", hint: "see `opsledger mission list`",
          facts: ["mission_id": id.description])
      }
      try search.run()
      return search.history
    }
  }

  /// Everything in the tables that names the mission, as `kind, id`.
  private static let ownRows = Statement(
    """
    SELECT 'mission', m.id FROM ops_missions AS m WHERE m.id = $1::uuid
    UNION ALL SELECT 'step', s.id FROM ops_mission_steps AS s WHERE s.mission_id = $1::uuid
    UNION ALL SELECT 'run', r.id FROM ops_action_runs AS r
      WHERE r.step_id IN (SELECT s.id FROM ops_mission_steps AS s WHERE s.mission_id = $1::uuid)
    UNION ALL SELECT 'event', a.id FROM ops_agent_events AS a WHERE a.mission_id = $1::uuid
    """)
  fileprivate static let ofStreams = Statement(
    "SELECT \(LoggedEvent.columns) FROM ledger.events AS e WHERE e.stream = ANY ($1::uuid[])")
  /// Of single entries, what belongs to one mission or proposal.
  fileprivate static let ofEntries = Statement(
    """
    SELECT DISTINCT e.stream FROM ledger.events AS e WHERE e.entry = ANY ($1::bigint[])
      AND (e.type IN ('step.created', 'agent_event.reported')
          AND e.data->>'mission_id' = $2::text
        OR e.type = 'reaction.done' AND e.data->>'proposal_id' = $3::text)
    """)

  fileprivate static func streams(_ ids: some Sequence<StreamID>) -> Parameters {
    var parameters = Parameters()
    parameters.uuids(ids)
    return parameters
  }
}

/// Follows the names that events carry, until no stream is left that was not read.
private struct HistorySearch {
  var history: MissionHistory
  private let reader: HistoryReader
  private var known: Set<StreamID>
  private var wanted: Set<StreamID> = []
  private var entries: Set<Int64> = []
  private var entriesRead: Set<Int64> = []
  private var proposal: StreamID?

  init(_ mission: StreamID, _ reader: HistoryReader) {
    history = MissionHistory(mission: mission)
    known = [mission]
    self.reader = reader
  }

  mutating func take(rows: Rows) throws(OpsError) {
    for (row, id) in try rows.ids(1).enumerated() {
      let kind = try onDatabase { () throws(PostgresError) in try rows.text(row, 0) }
      if kind == "mission" { history.isInTables = true } else { want(id) }
    }
  }

  mutating func run() throws(OpsError) {
    while !wanted.isEmpty || !entries.isEmpty {
      var questions: [(Statement, Parameters)] = []
      if !wanted.isEmpty { questions.append((Session.ofStreams, Session.streams(wanted))) }
      if !entries.isEmpty { questions.append((Session.ofEntries, entryParameters())) }
      let hasStreams = !wanted.isEmpty
      known.formUnion(wanted)
      entriesRead.formUnion(entries)
      (wanted, entries) = ([], [])
      let answers = try reader.ask(questions)
      if hasStreams { try take(try answers[0].events()) }
      if questions.count == 2 || !hasStreams, let found = answers.last {
        for id in try found.ids() { want(id) }
      }
    }
    history.events.sort { ($0.entry, $0.index) < ($1.entry, $1.index) }
  }

  private func entryParameters() -> Parameters {
    var parameters = Parameters()
    var array = ArrayBuilder(.int8)
    for entry in entries.sorted() { array.int8(entry) }
    parameters.array(array)
    parameters.text(history.mission.description)
    parameters.text(proposal?.description)
    return parameters
  }

  mutating func take(_ events: [LoggedEvent]) throws(OpsError) {
    history.events += events
    for event in events {
      let data = (try? JSON(parsing: event.data)) ?? .null
      switch event.type {
      case "mission.created":
        want(data.id("proposal_id"), isProposal: true)
        // Its steps were made with it.
        look(in: event.entry)
      case "mission.inserted", "mission.restored":
        want(data["columns"]?.id("proposal_id"), isProposal: true)
      case "mission.succeeded", "mission.failed": lookWithoutRows(in: event.entry)
      case "proposal.submitted": look(in: event.entry)
      case "step.leased": want(data.id("run_id"))
      case "step.succeeded", "step.dead_lettered": lookWithoutRows(in: event.entry)
      case "reaction.queued":
        history.origin = data.id("event_id")
        want(history.origin)
      default: break
      }
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

extension JSON {
  fileprivate func id(_ key: String) -> StreamID? {
    self[key]?.stringValue.flatMap { StreamID($0) }
  }
}
