public import Ledger
import Log
import Postgres

/// Placing a hold, pruning and erasing lock the same row, so each sees the effect of the other.
extension Engine {
  /// - Returns: The hold's id.
  /// - Throws: `OPS_011` if there is no such mission, `OPS_019` for a time that ends before it begins.
  public func placeHold(_ scope: Hold.Scope, why: String) throws(OpsError) -> StreamID {
    if case .time(let from, let until) = scope, until < from {
      throw OpsError(
        .badInput, "the hold would end at \(until), which is before it begins at \(from)")
    }
    let mission: StreamID? = if case .mission(let id) = scope { id } else { nil }
    let known = Parameters(mission.map { [$0] } ?? [])
    let by = actor
    var reads = Reads()
    _ = reads.add(Session.lockRetention)
    let missions = reads.add(Self.knowsMission, known)
    let command = Command(reads) { (found, draft) throws(OpsError) in
      if let mission, try found[missions].isEmpty { throw .notFound("mission", mission) }
      let id = draft.newID()
      draft.append(.placed(scope, by: by, why: why), of: Hold.self, to: id)
      return id
    }
    return try answer(command).answer
  }

  /// Whether any agent event in the tables has a source.
  public func knowsSource(_ source: String) throws(OpsError) -> Bool {
    let rows = try session.query(Self.knowsSource, Parameters(source))
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }

  private static let knowsSource = Statement(
    "SELECT EXISTS (SELECT FROM public.ops_agent_events AS a WHERE a.data->>'source' = $1::text)")

  /// An archived mission has a tombstone.
  private static let knowsMission = Statement(
    """
    SELECT FROM public.ops_missions AS m WHERE m.id = ANY ($1::uuid[])
    UNION ALL SELECT FROM ledger.tombstones AS t WHERE t.stream = ANY ($1::uuid[]) AND t.row_type = 'mission'
    """)

  /// - Returns: False if it was released before.
  /// - Throws: `OPS_011` if there is no such hold.
  public func releaseHold(_ id: StreamID, why: String) throws(OpsError) -> Bool {
    let by = actor
    var reads = Reads()
    _ = reads.add(Session.lockRetention)
    let holds = reads.rows(of: Hold.self, Self.lockHold, Parameters(id))
    let command = Command(reads) { (found, draft) throws(OpsError) in
      guard let hold = try found[holds].first else { throw .notFound("hold", id) }
      if hold.isReleased { return false }
      try draft.load(hold, as: id)
      draft.append(.released(by: by, why: why), of: Hold.self, to: id)
      return true
    }
    return try answer(command).answer
  }

  private static let lockHold = Statement(
    "SELECT \(Hold.select("h")) FROM ledger.holds AS h WHERE h.id = $1::uuid FOR UPDATE")
}
