public import Ledger
public import Log
import Postgres
import Replay

public struct MissionRestored: Sendable {
  public let mission: StreamID
  /// The entry that archived the mission, and the one that brings it back.
  public let archived: Int64
  public let entry: Int64
  public let rows: Int
  /// The hold that keeps it; nil if the next `retention apply` may archive it again.
  public let hold: StreamID?
}

/// Brings an archived mission back into the tables, with all rows that were archived with it. Only the versions of the
/// rows change: each gets the next one.
public struct MissionRestorer {
  private let session: Session
  private let actor: String

  public init(_ session: Session, actor: String) {
    self.session = session
    self.actor = actor
  }

  /// - Throws: `OPS_011` if the mission is not archived; `OPS_012` if a row that it refers to is missing; `OPS_016` if an
  ///   event of the entry that archived it cannot be read.
  public func run(_ mission: StreamID) throws(OpsError) -> MissionRestored {
    let archived = try entry(inWhichLeft: mission)
    var query = LogQuery(limit: Int.max, keeps: .first)
    query.entries = archived...archived
    var logged: [LoggedEvent] = []
    try session.log(query) { logged.append($0) }
    var (gone, unnamed): (Set<StreamID>, [StreamID]) = ([], [])
    for event in logged {
      // Other missions were archived in the same entry.
      guard let rowType = RowType(ofType: event.type),
        try event.missionLeft(by: rowType.type) == mission
      else { continue }
      if event.isArchiving { gone.insert(event.stream) } else { unnamed.append(event.stream) }
    }
    let rows = try session.rows(of: gone, at: archived - 1)
    var (tombstones, events) = (Parameters(), Parameters())
    tombstones.uuids(gone)
    events.uuids(unnamed)
    var reads = Reads()
    _ = reads.add(Session.lockRetention)
    let versionsGone = reads.add(Self.tombstonesOfGone, tombstones) { (rows) throws(OpsError) in
      try Self.versions(rows)
    }
    let agentEvents = reads.rows(of: AgentEvent.self, Self.lockAgentEvents, events)
    let command = Command(reads) { (found, draft) throws(OpsError) -> Int in
      let versions = try found[versionsGone]
      guard versions[mission] != nil else { throw Self.isBack(mission) }
      let count = try rows.restore(into: &draft, tombstones: versions)
      for event in try found[agentEvents] {
        try draft.load(event, as: event.id)
        let change = ColumnChange("mission_id", from: .null, to: .uuid(mission))
        draft.append(StreamEvent<AgentEvent>.common(.amended([change])), to: event.id)
      }
      return count
    }
    // The return does not change which hold keeps the mission. An unreadable hold is refused before anything is done.
    let hold = try session.heldRows([mission]).hold(on: mission)
    let committed = try perform(command)
    guard let entry = committed.entry else { throw Self.isBack(mission) }
    return MissionRestored(
      mission: mission, archived: archived, entry: entry, rows: committed.answer,
      hold: hold)
  }

  /// If a constraint of today refuses an archived row, the hint says how to do without the constraint.
  private func perform<Answer>(_ command: Command<Answer>) throws(OpsError) -> Committed<Answer> {
    do throws(OpsError) {
      return try session.perform(CommandKey(id: newCommandID(), actor: actor), command)
    } catch {
      guard let constraint = error.database?.constraint, let table = error.database?.table else {
        throw error
      }
      throw error.saying(
        error.message,
        hint:
          "run ALTER TABLE \(table) DROP CONSTRAINT \(constraint), then this again, and then "
          + "`opsledger rebuild`, which adds the constraint again if the rows allow it")
    }
  }

  /// The last entry that archived the mission.
  private func entry(inWhichLeft mission: StreamID) throws(OpsError) -> Int64 {
    var query = LogQuery(limit: .max, keeps: .last)
    query.stream = mission
    var (last, archived): (LoggedEvent?, Int64?) = (nil, nil)
    try session.log(query) { event in
      // An erasure since then does not count.
      let kind = EventType(event.type)?.common
      if last == nil || kind != .erased { last = event }
      if kind == .archived { archived = event.entry }
    }
    guard let last else {
      throw OpsError(
        .notFound, "the log has no mission \(mission)", hint: "see `opsledger mission list`")
    }
    // `restore --at` to before that entry brought the mission back, and another one to after it removed it again.
    let kind = EventType(last.type)?.common
    if kind == .removed, let archived, try session.wentBack(in: last.entry) { return archived }
    guard kind == .archived else {
      throw OpsError(
        .notFound,
        "mission \(mission) is not archived: its last event is \(last.type)",
        hint: "see `opsledger mission history \(mission)`")
    }
    return last.entry
  }

  private static func isBack(_ mission: StreamID) -> OpsError {
    OpsError(
      .conflict, "mission \(mission) is already back",
      hint: "see `opsledger mission show \(mission)`")
  }

  /// Leaves out rows that are in a table: they came back another way.
  private static let tombstonesOfGone = Statement(
    """
    SELECT t.stream, t.version FROM ledger.tombstones AS t WHERE t.stream = ANY ($1::uuid[])
      AND NOT EXISTS (SELECT FROM public.ops_missions AS r WHERE r.id = t.stream)
      AND NOT EXISTS (SELECT FROM public.ops_mission_proposals AS r WHERE r.id = t.stream)
      AND NOT EXISTS (SELECT FROM public.ops_mission_steps AS r WHERE r.id = t.stream)
      AND NOT EXISTS (SELECT FROM public.ops_action_runs AS r WHERE r.id = t.stream)
      AND NOT EXISTS (SELECT FROM public.ops_agent_events AS r WHERE r.id = t.stream)
      AND NOT EXISTS (SELECT FROM public.ops_agent_reactions AS r WHERE r.id = t.stream)
    ORDER BY t.stream
    """)
  private static let lockAgentEvents = Statement(
    """
    SELECT \(AgentEvent.select("a")) FROM public.ops_agent_events AS a
    WHERE a.id = ANY ($1::uuid[]) AND a.mission_id IS NULL ORDER BY a.id FOR UPDATE
    """)

  private static func versions(_ rows: Rows) throws(OpsError) -> [StreamID: Int32] {
    try onDatabase { () throws(PostgresError) in
      var versions: [StreamID: Int32] = [:]
      for row in 0..<rows.count {
        versions[StreamID(try rows.uuid(row, 0))] = try rows.int4(row, 1)
      }
      return versions
    }
  }
}

extension LoggedEvent {
  fileprivate var isArchiving: Bool { EventType(type)?.common == .archived }

  /// The mission with which the event archived its row, or that its row names no longer; nil for other events.
  fileprivate func missionLeft<R: Row>(by _: R.Type) throws(OpsError) -> StreamID? {
    guard let kind = EventType(type)?.common else { return nil }
    do throws(Unreadable) {
      switch try decoded(StreamEvent<R>.Kind.common(kind)) {
      case .common(.archived(_, _, let mission)): return mission
      case .common(.amended(let changes)):
        return changes.first { $0.column == "mission_id" }?.from.idValue
      case .common(.inserted), .common(.removed), .common(.restored), .common(.erased), .own:
        return nil
      }
    } catch {
      throw OpsError(
        .inconsistentRow,
        "the mission stays archived: event \(index) of entry \(entry) (\(type)) cannot be read: "
          + error.reason, hint: "see `opsledger verify`")
    }
  }
}

extension Session {
  /// Whether this entry is of a `restore --at`.
  fileprivate func wentBack(in entry: Int64) throws(OpsError) -> Bool {
    try number(
      Statement(
        """
        SELECT e.entry FROM ledger.events_in_database AS e
        WHERE e.entry = $1::bigint AND e.type = '\(LedgerRecord.eventType(.restored))'
        """), entry) != nil
  }
}
