public import Ledger
import Postgres

/// A mission that retention archived, by what the log says.
public struct ArchivedMission: Sendable {
  public var id: StreamID
  /// Nil if the event that says so is archived itself, and no store is available.
  public var archived: Archived?
  /// The status with which it ended.
  public var status: Mission.Status?
  public var title: String?

  public struct Archived: Sendable {
    public var entry: Int64
    public var at: Instant
    /// The file in which it was archived. Merging may have renamed the file since.
    public var segment: String?
  }
}

extension Session {
  /// The archived missions, except restored ones; the last first.
  public func archivedMissions(limit: Int) throws(OpsError) -> [ArchivedMission] {
    try HistoryReader.read(self, first: [(Self.archivedMissions, Parameters(Int64(limit)))]) {
      (answers, reader) throws(OpsError) in
      var missions = try Self.read(answers[0])
      let unknown = Set(missions.lazy.filter { $0.archived == nil }.map(\.id))
      guard !unknown.isEmpty, reader.archivedPart != nil, self.target.archivedLog != nil else {
        return missions
      }
      var removed: Set<StreamID> = []
      for event in try reader.archived(ArchivedQuery(0...Int64.max, .these(unknown))) {
        guard let place = missions.firstIndex(where: { $0.id == event.stream }) else { continue }
        missions[place].take(event)
        if EventType(event.type)?.common == .removed { removed.insert(event.stream) }
      }
      missions.removeAll { removed.contains($0.id) && $0.archived == nil }
      return missions.sorted { ($0.archived?.entry ?? 0) > ($1.archived?.entry ?? 0) }
    }
  }

  /// When and where a mission was archived.
  ///
  /// - Throws: `OPS_011` if there is no such mission, or it is not archived.
  public func archivedMission(_ id: StreamID) throws(OpsError) -> ArchivedMission.Archived {
    var mission = ArchivedMission(id: id)
    var query = LogQuery(limit: .max, keeps: .last)
    query.stream = id
    query.type = Mission.anyEventType
    try log(query) { mission.take($0) }
    guard let archived = mission.archived else { throw OpsError.notFound("mission", id) }
    return archived
  }

  private static func read(_ rows: Rows) throws(OpsError) -> [ArchivedMission] {
    try rows.map { (row) throws(PostgresError) in
      var mission = ArchivedMission(id: StreamID(try rows.uuid(row, 0)))
      if let entry = try rows.int8IfPresent(row, 1) {
        mission.archived = .init(
          entry: entry, at: Instant(micros: try rows.timestamptz(row, 2)),
          segment: try rows.textIfPresent(row, 3))
      }
      mission.status = try rows.textIfPresent(row, 4).flatMap(Mission.Status.init)
      mission.title = try rows.textIfPresent(row, 5)
      return mission
    }
  }

  private static let removed = Mission.eventType(common: .removed)
  private static let ended = Mission.Event.Kind.allCases.filter { $0.end != nil }
    .map { "'\(Mission.eventType($0))'" }.joined(separator: ", ")

  /// The events of each stream are found by the index (stream, version).
  private static let archivedMissions = Statement(
    """
    SELECT t.stream, a.entry, a.recorded_at, a.data->>'segment',
      (SELECT split_part(f.type, '.', 2) FROM ledger.events AS f WHERE f.stream = t.stream
        AND f.type IN (\(ended)) ORDER BY f.version DESC LIMIT 1),
      (SELECT p.content->'template'->>'title' FROM ledger.events AS c JOIN ledger.events AS p
        ON p.stream = (c.data->>'proposal_id')::uuid AND p.version = 1
          AND p.type = '\(Proposal.eventType(.submitted))'
        WHERE c.stream = t.stream AND c.version = 1 AND c.type = '\(Mission.eventType(.created))')
    FROM ledger.tombstones AS t
    LEFT JOIN LATERAL (SELECT e.entry, e.recorded_at, e.type, e.data FROM ledger.events AS e
      WHERE e.stream = t.stream AND e.type IN ('\(Mission.eventType(common: .archived))', '\(removed)')
      ORDER BY e.version DESC LIMIT 1) AS a ON true
    WHERE t.row_type = '\(Mission.name.rawValue)' AND a.type IS DISTINCT FROM '\(removed)'
      AND NOT EXISTS (SELECT FROM public.ops_missions AS m WHERE m.id = t.stream)
    ORDER BY a.entry DESC NULLS LAST, t.stream LIMIT $1::bigint
    """)
}

extension ArchivedMission {
  fileprivate mutating func take(_ event: LoggedEvent) {
    guard case .mission(let kind) = EventType(event.type) else { return }
    switch kind {
    case .own(let kind): status = kind.end ?? status
    case .common(.archived):
      archived = Archived(entry: event.entry, at: event.recordedAt, segment: nil)
      if case .common(.archived(let segment, _, _)) = try? event.decoded(kind), !segment.isEmpty {
        archived?.segment = segment
      }
    case .common(.restored), .common(.inserted), .common(.removed): archived = nil
    case .common(.amended), .common(.erased): break
    }
  }
}

extension Mission.Event.Kind {
  /// The status with which the mission ended; nil if the event does not end it.
  fileprivate var end: Mission.Status? {
    switch self {
    case .succeeded: .succeeded
    case .failed: .failed
    case .created, .started, .reopened: nil
    }
  }
}
