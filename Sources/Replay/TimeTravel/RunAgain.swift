import JSON
public import Ledger
public import Log
import Postgres

/// The steps that ran after the moment to which the tables were restored, and that would run again.
public struct RunAgain: Equatable, Sendable {
  /// At most this many steps are named.
  public static let namedMax = 1000

  public struct Step: Equatable, Sendable {
    public let step: StreamID
    public let kind: String
    /// The row type of ``waiting``.
    public let waitsAs: RowType
    /// The row that waits: the step itself, or the row from which the loop would make the step once more.
    public let waiting: StreamID
  }

  public var count = 0
  /// The first steps.
  public var steps: [Step] = []

  public init() {}

  var json: JSON {
    .object([
      "steps": .int(count),
      "named": .array(
        steps.map {
          .object([
            "step": .string($0.step.description), "kind": .string($0.kind),
            "waits_as": .string($0.waitsAs.rawValue), "id": .string($0.waiting.description),
          ])
        }),
    ])
  }

  init?(_ json: JSON) {
    guard let count = json["steps"]?.intValue, let named = json["named"]?.arrayValue else {
      return nil
    }
    self.count = count
    steps = named.compactMap { item in
      guard let step = item["step"]?.idValue,
        let kind = item["kind"]?.stringValue,
        let rowType = item["waits_as"]?.stringValue.flatMap({ RowType(rawValue: $0) }),
        let id = item["id"]?.idValue
      else { return nil }
      return Step(step: step, kind: kind, waitsAs: rowType, waiting: id)
    }
  }
}

/// The steps that ran after a moment, with the rows that they came from. Reads the tables, so it must be made before they
/// are restored.
struct RanSince {
  private var steps: [StreamID] = []
  private var kinds: [String] = []
  private var proposals: [StreamID?] = []
  private var reactions: [StreamID?] = []
  private var agentEvents: [StreamID?] = []

  init(_ moment: Int64, upTo last: Int64, on log: LogReader) throws(OpsError) {
    var archived: Set<StreamID> = []
    try log.archived((moment + 1)...max(moment + 1, last), .all) { (event) throws(OpsError) in
      if Self.saysThatAStepRan(event) { archived.insert(event.stream) }
    }
    var parameters = Parameters(moment, last)
    parameters.uuids(archived)
    try onDatabase { () throws(PostgresError) in
      let rows = try log.connection.query(Self.find, parameters)
      for row in 0..<rows.count {
        steps.append(StreamID(try rows.uuid(row, 0)))
        kinds.append(try rows.textIfPresent(row, 1) ?? "")
        proposals.append(try rows.uuidIfPresent(row, 2).map { StreamID($0) })
        reactions.append(try rows.uuidIfPresent(row, 3).map { StreamID($0) })
        agentEvents.append(try rows.uuidIfPresent(row, 4).map { StreamID($0) })
      }
    }
  }

  private static func saysThatAStepRan(_ event: EventLine) -> Bool {
    guard case .step(let kind) = EventType(String(decoding: event.type, as: UTF8.self)) else {
      return false
    }
    switch kind {
    case .own(let kind): return kind.saysThatItRan
    case .common(.amended):
      guard case .common(let amended) = try? LoggedEvent(event).decoded(kind) else { return false }
      let status = amended.value(of: "status")?.textValue.flatMap(Step.Status.init)
      return status?.saysThatItRan ?? false
    case .common(.inserted), .common(.removed), .common(.archived), .common(.restored),
      .common(.erased):
      return false
    }
  }

  private static let typesThatRan = Step.Event.Kind.allCases.filter(\.saysThatItRan)
    .map { "'\(Step.eventType($0))'" }.joined(separator: ", ")
  private static let statusesThatRan = Step.Status.allCases.filter(\.saysThatItRan)
    .map { "'\($0.rawValue)'" }.joined(separator: ", ")

  /// The same rule as ``saysThatAStepRan(_:)``. Claims by the predecessor's functions, and manual ones, are amendments.
  private static let find = Statement(
    """
    WITH ran AS MATERIALIZED (
      SELECT DISTINCT e.stream AS step FROM ledger.events AS e
      WHERE e.entry > $1::bigint AND e.entry <= $2::bigint
        AND (e.type IN (\(typesThatRan)) OR e.type = '\(Step.eventType(common: .amended))'
            AND e.data -> 'changes' -> 'status' ->> 1 IN (\(statusesThatRan)))
      UNION SELECT unnest($3::uuid[]))
    SELECT DISTINCT ON (ran.step) ran.step, coalesce(s.executor, s.kind), m.proposal_id, r.id,
      r.event_id
    FROM ran LEFT JOIN public.ops_mission_steps AS s ON s.id = ran.step
    LEFT JOIN public.ops_missions AS m ON m.id = s.mission_id
    LEFT JOIN public.ops_agent_reactions AS r
      ON r.payload -> 'result' ->> 'r_proposal_id' = m.proposal_id::text
    ORDER BY ran.step
    """)

  /// The steps that would run again, according to the restored tables.
  func waiting(on connection: Connection) throws(OpsError) -> RunAgain {
    var again = RunAgain()
    for chunk in steps.indices.chunks(of: 1000) {
      var parameters = Parameters()
      parameters.uuids(steps[chunk])
      parameters.texts(kinds[chunk])
      for ids in [proposals, reactions, agentEvents] {
        var array = ArrayBuilder(.uuid)
        for id in ids[chunk] {
          if let id { array.uuid(id.high, id.low) } else { array.null() }
        }
        parameters.array(array)
      }
      let rows = try onDatabase { () throws(PostgresError) in
        try connection.query(Self.stillWaiting, parameters)
      }
      try again.add(rows)
    }
    return again
  }

  private static let stillWaiting = Statement(
    """
    SELECT w.* FROM (
      SELECT v.step, coalesce(s.executor, s.kind, v.kind) AS kind,
        CASE WHEN s.status IN ('queued', 'running') THEN 'step' WHEN s.id IS NOT NULL THEN NULL
          WHEN p.status IN ('approved', 'auto_approved') AND NOT EXISTS (
            SELECT FROM public.ops_missions AS m WHERE m.proposal_id = p.id) THEN 'proposal'
          WHEN p.id IS NOT NULL THEN NULL
          WHEN r.status IN ('queued', 'processing') THEN 'reaction' WHEN r.id IS NOT NULL THEN NULL
          WHEN a.id IS NOT NULL AND a.processed_at IS NULL THEN 'agent_event' END AS waits_as,
        CASE WHEN s.id IS NOT NULL THEN s.id WHEN p.id IS NOT NULL THEN p.id
          WHEN r.id IS NOT NULL THEN r.id ELSE a.id END AS id
      FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[])
        AS v(step, kind, proposal, reaction, agent_event)
      LEFT JOIN public.ops_mission_steps AS s ON s.id = v.step
      LEFT JOIN public.ops_mission_proposals AS p ON p.id = v.proposal
      LEFT JOIN public.ops_agent_reactions AS r ON r.id = v.reaction
      LEFT JOIN public.ops_agent_events AS a ON a.id = v.agent_event) AS w
    WHERE w.waits_as IS NOT NULL
    """)
}

extension RunAgain {
  /// Rows of `step, kind, waits_as, id`.
  fileprivate mutating func add(_ rows: Rows) throws(OpsError) {
    count += rows.count
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count where steps.count < Self.namedMax {
        guard let rowType = RowType(rawValue: try rows.text(row, 2)) else { continue }
        steps.append(
          Step(
            step: StreamID(try rows.uuid(row, 0)), kind: try rows.text(row, 1), waitsAs: rowType,
            waiting: StreamID(try rows.uuid(row, 3))))
      }
    }
  }
}

extension Session {
  /// The steps that would run again after the last restore of the tables to a moment. Empty if the loop was resumed since,
  /// or if none of these steps waits any more.
  public func runAgain() throws(OpsError) -> (moment: Int64, again: RunAgain) {
    var parameters = Parameters()
    parameters.uuid(.ledger)
    parameters.uuid(.policy(LoopState.key))
    let rows = try query(Self.lastPointInTimeRestore, parameters)
    let found = try onDatabase { () throws(PostgresError) in
      rows.count == 1 ? (try rows.int8(0, 0), try rows.json(0, 1)) : nil
    }
    guard let (moment, text) = found, let json = try? JSON(parsing: text),
      let recorded = RunAgain(json)
    else { return (0, RunAgain()) }
    // Whether the steps without a name still wait is unknown.
    if recorded.count > recorded.steps.count { return (moment, recorded) }
    return (moment, try stillWaiting(recorded))
  }

  /// The last restore to a moment, unless policy `loop` was `running` since.
  private static let lastPointInTimeRestore = Statement(
    """
    SELECT (r.data #>> '{report,at}')::bigint, r.data #> '{report,run_again}'
    FROM ledger.events_in_database AS r
    WHERE r.stream = $1::uuid AND r.type = '\(LedgerRecord.eventType(.restored))'
      AND r.data #> '{report,at}' IS NOT NULL
      AND NOT EXISTS (SELECT FROM ledger.events_in_database AS l
        WHERE l.stream = $2::uuid AND l.entry > r.entry AND 'running' IN (
          l.data #>> '{value,state}', l.data #>> '{columns,value,state}',
          l.data #>> '{changes,value,1,state}'))
    ORDER BY r.version DESC LIMIT 1
    """)

  private func stillWaiting(_ recorded: RunAgain) throws(OpsError) -> RunAgain {
    var parameters = Parameters()
    parameters.uuids(recorded.steps.map(\.waiting)[...])
    let rows = try query(Self.open, parameters)
    let open = Set(try rows.ids())
    var again = recorded
    again.steps.removeAll { !open.contains($0.waiting) }
    again.count = again.steps.count
    return again
  }

  private static let open = Statement(
    """
    SELECT v.id FROM unnest($1::uuid[]) AS v(id) WHERE EXISTS (
        SELECT FROM public.ops_mission_steps AS s WHERE s.id = v.id AND s.status IN ('queued', 'running'))
      OR EXISTS (SELECT FROM public.ops_agent_reactions AS r
        WHERE r.id = v.id AND r.status IN ('queued', 'processing'))
      OR EXISTS (SELECT FROM public.ops_mission_proposals AS p
        WHERE p.id = v.id AND p.status IN ('approved', 'auto_approved')
          AND NOT EXISTS (SELECT FROM public.ops_missions AS m WHERE m.proposal_id = p.id))
      OR EXISTS (SELECT FROM public.ops_agent_events AS a WHERE a.id = v.id AND a.processed_at IS NULL)
    """)
}

extension Step.Event.Kind {
  /// Whether the event proves that a worker or another client had claimed the step.
  fileprivate var saysThatItRan: Bool {
    switch self {
    case .leased, .succeeded, .attemptFailed: true
    case .created, .renewed, .retryScheduled, .deadLettered, .skipped, .requeued: false
    }
  }
}

extension Step.Status {
  /// The same for a status that a manual change set.
  fileprivate var saysThatItRan: Bool {
    switch self {
    case .running, .succeeded: true
    case .queued, .failed: false
    }
  }
}
