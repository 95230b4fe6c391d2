import JSON
public import Ledger
import Postgres

/// Everything that happened to a mission and to what belongs to it, in the order of the log.
public struct MissionHistory: Sendable {
  public let mission: StreamID
  public let proposal: StreamID?
  /// Steps in the order of their plan.
  public let steps: [StreamID]
  /// The reaction that proposed it, and the agent event that this answered.
  public let reaction: StreamID?
  public let origin: StreamID?
  public let events: [RecordedEvent]
}

extension Session {
  /// Reads a mission's history from the log alone, by streams and by entries: what belongs together
  /// was recorded together. So it costs the same in a log of any length, and needs no table.
  ///
  /// - Throws: `OPS_011` where the log knows no such mission.
  public func history(ofMission id: StreamID) throws(OpsError) -> MissionHistory {
    let mission = try events(of: [id])
    guard let created = mission.first, created.noun == NounName.mission.rawValue else {
      throw OpsError(
        .notFound, "the log knows no mission \(id)", hint: "see `opsledger mission list`",
        facts: ["mission_id": id.description])
    }
    let proposal = created.fields["proposal_id"]?.stringValue.flatMap { StreamID($0) }
    let steps = try steps(of: id, createdIn: created.entry)
    let work = try events(of: steps + [proposal].compactMap { $0 })
    let runs = work.filter { $0.type == "step.leased" }
      .compactMap { $0.fields["run_id"]?.stringValue.flatMap { StreamID($0) } }
    let reported = try reports(
      about: id, in: Set((mission + work).map(\.entry)))
    let submitted = work.first { $0.stream == proposal && $0.version == 1 }
    let cause = try reaction(thatMade: proposal, in: submitted?.entry)
    let rest = try events(
      of: runs + reported + [cause?.reaction, cause?.origin].compactMap { $0 })
    let all = (mission + work + rest).sorted { ($0.entry, $0.index) < ($1.entry, $1.index) }
    return MissionHistory(
      mission: id, proposal: proposal, steps: steps, reaction: cause?.reaction,
      origin: cause?.origin, events: all)
  }

  private static let byStream = Statement(
    """
    SELECT \(RecordedEvent.columns) FROM ledger.events WHERE stream = ANY ($1::uuid[])
    ORDER BY entry, index
    """)

  func events(of streams: [StreamID]) throws(OpsError) -> [RecordedEvent] {
    if streams.isEmpty { return [] }
    var parameters = Parameters()
    parameters.uuids(streams)
    return try RecordedEvent.all(try query(Self.byStream, parameters))
  }

  /// A mission's steps are made in its own entry; those that a hand added are in the table.
  private static let stepsOf = Statement(
    """
    SELECT id FROM (
      SELECT e.stream AS id, (e.data->>'ordinal')::integer AS ordinal FROM ledger.events AS e
      WHERE e.entry = $2::bigint AND e.type = 'step.created'
        AND e.data->>'mission_id' = $1::uuid::text
      UNION
      SELECT s.id, s.ordinal FROM ops_mission_steps AS s WHERE s.mission_id = $1::uuid) AS all_steps
    ORDER BY ordinal NULLS LAST, id
    """)

  private func steps(
    of mission: StreamID, createdIn entry: Int64
  ) throws(OpsError) -> [StreamID] {
    var parameters = Parameters()
    parameters.uuid(mission)
    parameters.int8(entry)
    let rows = try query(Self.stepsOf, parameters)
    return try ids(rows, column: 0)
  }

  /// Our own agent events about a mission are recorded with what they report.
  private static let reportsIn = Statement(
    """
    SELECT stream FROM ledger.events WHERE entry = ANY ($2::bigint[])
      AND type = 'agent_event.reported' AND data->>'mission_id' = $1::uuid::text
    """)

  private func reports(
    about mission: StreamID, in entries: Set<Int64>
  ) throws(OpsError) -> [StreamID] {
    var list = ArrayBuilder(.int8)
    for entry in entries.sorted() { list.int8(entry) }
    var parameters = Parameters()
    parameters.uuid(mission)
    parameters.array(list)
    return try ids(try query(Self.reportsIn, parameters), column: 0)
  }

  /// A reaction is done in the entry that submits its proposal.
  private static let reactionIn = Statement(
    """
    SELECT d.stream, q.data->>'event_id' FROM ledger.events AS d
      JOIN ledger.events AS q ON q.stream = d.stream AND q.type = 'reaction.queued'
    WHERE d.entry = $2::bigint AND d.type = 'reaction.done'
      AND d.data->>'proposal_id' = $1::uuid::text
    """)

  private func reaction(
    thatMade proposal: StreamID?, in entry: Int64?
  ) throws(OpsError) -> (reaction: StreamID, origin: StreamID?)? {
    guard let proposal, let entry else { return nil }
    var parameters = Parameters()
    parameters.uuid(proposal)
    parameters.int8(entry)
    let rows = try query(Self.reactionIn, parameters)
    return try onDatabase { () throws(PostgresError) in
      guard rows.count > 0 else { return nil }
      return (
        StreamID(try rows.uuid(0, 0)), try rows.textIfPresent(0, 1).flatMap { StreamID($0) }
      )
    }
  }

  private func ids(_ rows: Rows, column: Int) throws(OpsError) -> [StreamID] {
    try onDatabase { () throws(PostgresError) in
      var ids: [StreamID] = []
      for row in 0..<rows.count { ids.append(StreamID(try rows.uuid(row, column))) }
      return ids
    }
  }
}
