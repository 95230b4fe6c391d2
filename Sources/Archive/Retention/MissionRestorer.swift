import JSON
public import Ledger
public import Log
import Postgres
import Replay

/// What bringing a mission back did.
public struct MissionRestored: Sendable {
  public let mission: StreamID
  /// The entry in which it had left, and the one that brings it back.
  public let archived: Int64
  public let entry: Int64
  public let rows: Int
  /// The hold that keeps it; nil where the next `retention apply` may archive it again.
  public let hold: StreamID?
}

/// Brings an archived mission back into the tables, with all that left with it: rows as they were but for their
/// versions, which go on.
public struct MissionRestorer {
  private let session: Session
  private let actor: String

  public init(_ session: Session, actor: String) {
    self.session = session
    self.actor = actor
  }

  /// - Throws: `OPS_011` where it is not archived; `OPS_012` where a row that it refers to is not there.
  public func run(_ mission: StreamID) throws(OpsError) -> MissionRestored {
    let archived = try entry(inWhichLeft: mission)
    var (gone, unnamed): (Set<StreamID>, [StreamID]) = ([], [])
    var query = LogQuery(limit: Int.max, keeps: .first)
    query.entries = archived...archived
    try session.log(query) { event in
      // Other missions left in the same entry.
      switch EventType(event.type)?.common {
      case .archived where event.missionID == mission: gone.insert(event.stream)
      case .amended where event.unnames(mission): unnamed.append(event.stream)
      case .inserted, .amended, .removed, .archived, .restored, .erased, nil: break
      }
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
    // Its return changes nothing about that; what cannot be told is refused before anything is done.
    let hold = try session.heldRows([mission]).hold(on: mission)
    let committed = try perform(command)
    guard let entry = committed.entry else { throw Self.isBack(mission) }
    return MissionRestored(
      mission: mission, archived: archived, entry: entry, rows: committed.answer,
      hold: hold)
  }

  /// A row that a constraint refuses now, and the log has, comes back without the constraint.
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
          "ALTER TABLE \(table) DROP CONSTRAINT \(constraint) lets it in; run this again, and then "
          + "`opsledger rebuild`, which puts the constraint back as far as the rows allow")
    }
  }

  /// The last entry that says so.
  private func entry(inWhichLeft mission: StreamID) throws(OpsError) -> Int64 {
    var query = LogQuery(limit: .max, keeps: .last)
    query.stream = mission
    var (last, archived): (LoggedEvent?, Int64?) = (nil, nil)
    try session.log(query) { event in
      // What was erased since stays where it is.
      let kind = EventType(event.type)?.common
      if last == nil || kind != .erased { last = event }
      if kind == .archived { archived = event.entry }
    }
    guard let last else {
      throw OpsError(
        .notFound, "the log has no mission \(mission)", hint: "see `opsledger mission list`")
    }
    // A restore that took the tables back to before it left, and another to after that, removed it again.
    let kind = EventType(last.type)?.common
    if kind == .removed, let archived, try session.wentBack(in: last.entry) { return archived }
    guard kind == .archived else {
      throw OpsError(
        .notFound,
        "mission \(mission) is not archived: the last that happened to it is \(last.type)",
        hint: "see `opsledger mission history \(mission)`")
    }
    return last.entry
  }

  private static func isBack(_ mission: StreamID) -> OpsError {
    OpsError(.conflict, "mission \(mission) is back already", hint: "see `opsledger mission show`")
  }

  /// Of rows that are in no table: one that came back another way stays as it is.
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
  /// The mission that an `archived` event's row left with.
  fileprivate var missionID: StreamID? {
    (try? JSON(parsing: data))?["mission_id"]?.idValue
  }

  /// Whether it takes the mission's name off an agent event.
  fileprivate func unnames(_ mission: StreamID) -> Bool {
    guard case .agentEvent(let kind) = EventType(type),
      case .common(.amended(let changes)) = try? decoded(kind)
    else { return false }
    return changes.contains { $0.column == "mission_id" && $0.from.idValue == mission }
  }
}

extension Session {
  /// Whether this entry took the tables back to a moment.
  fileprivate func wentBack(in entry: Int64) throws(OpsError) -> Bool {
    var parameters = Parameters()
    parameters.int8(entry)
    let rows = try query(
      Statement(
        """
        SELECT EXISTS (SELECT FROM ledger.events_in_database AS e
          WHERE e.entry = $1::bigint AND e.type = '\(LedgerRecord.eventType(.restored))')
        """), parameters)
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }
}
