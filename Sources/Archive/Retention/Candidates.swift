import Ledger
import Log
import Postgres

/// A mission that ended as long ago as the policy asks for, and what keeps it in the database.
struct Candidate {
  let mission: StreamID
  let status: Mission.Status
  let endedAt: Instant
  /// A hash of the versions of its rows: mission, proposal, steps, runs and agent events.
  let fingerprint: String
  let rows: Int64
  /// The stored size of its rows.
  let bytes: Int64
  let isUnprocessed: Bool
  let isReactedTo: Bool
  let isWorkedOn: Bool

  /// Why the mission stays; nil if only a hold can keep it.
  var reason: RetentionPlan.Reason? {
    if isWorkedOn { return .stepsOpen }
    if isUnprocessed { return .agentEventsUnprocessed }
    return isReactedTo ? .reactionsOpen : nil
  }

  /// `$1`, `$2`: the latest end of a mission that succeeded, and of one that failed; NULL: none is archived. `$3`: only
  /// these missions; NULL: all.
  static let question = Statement(
    """
    WITH ended AS MATERIALIZED (
      SELECT m.id, m.proposal_id, m.version, m.status::text AS status,
        coalesce(m.completed_at, m.updated_at) AS ended_at, pg_column_size(m) AS bytes
      FROM public.ops_missions AS m
      WHERE ($3::uuid[] IS NULL OR m.id = ANY ($3::uuid[]))
        AND (m.status = 'succeeded' AND coalesce(m.completed_at, m.updated_at) <= $1::timestamptz
          OR m.status = 'failed' AND coalesce(m.completed_at, m.updated_at) <= $2::timestamptz))
    SELECT e.id, e.status, e.ended_at, v.print, v.rows, v.bytes,
      EXISTS (SELECT FROM public.ops_agent_events AS a
        WHERE a.mission_id = e.id AND a.processed_at IS NULL),
      EXISTS (SELECT FROM public.ops_agent_events AS a JOIN public.ops_agent_reactions AS r ON r.event_id = a.id
        WHERE a.mission_id = e.id AND r.status IN ('queued', 'processing')),
      EXISTS (SELECT FROM public.ops_mission_steps AS s
        WHERE s.mission_id = e.id AND s.status IN ('queued', 'running'))
    FROM ended AS e CROSS JOIN LATERAL (
      SELECT md5(string_agg(r.id || ':' || r.version, ',' ORDER BY r.id)) AS print, count(*) AS rows,
        sum(r.bytes)::bigint AS bytes
      FROM (
        SELECT e.id, e.version, e.bytes
        UNION ALL SELECT p.id, p.version, pg_column_size(p)
          FROM public.ops_mission_proposals AS p WHERE p.id = e.proposal_id
        UNION ALL SELECT s.id, s.version, pg_column_size(s)
          FROM public.ops_mission_steps AS s WHERE s.mission_id = e.id
        UNION ALL SELECT r.id, r.version, pg_column_size(r)
          FROM public.ops_mission_steps AS s JOIN public.ops_action_runs AS r ON r.step_id = s.id
          WHERE s.mission_id = e.id
        UNION ALL SELECT a.id, a.version, pg_column_size(a)
          FROM public.ops_agent_events AS a WHERE a.mission_id = e.id) AS r) AS v
    ORDER BY e.id
    """)

  /// - Parameter missions: Nil: all.
  static func parameters(
    _ policy: RetentionPolicy, at cut: Instant, missions: [StreamID]?
  ) -> Parameters {
    func bound(_ days: Double?) -> Instant? { days.map { cut.adding(seconds: -$0 * 86_400) } }
    var parameters = Parameters()
    parameters.timestamptz(microsSince1970: bound(policy.succeededDays)?.micros)
    parameters.timestamptz(microsSince1970: bound(policy.failedDays)?.micros)
    if let missions { parameters.uuids(missions) } else { parameters.null() }
    return parameters
  }

  static func all(_ rows: Rows) throws(OpsError) -> [Candidate] {
    try onDatabase { () throws(PostgresError) in
      var found: [Candidate] = []
      found.reserveCapacity(rows.count)
      for row in 0..<rows.count {
        found.append(
          Candidate(
            mission: StreamID(try rows.uuid(row, 0)),
            status: Mission.Status(rawValue: try rows.text(row, 1)) ?? .failed,
            endedAt: Instant(micros: try rows.timestamptz(row, 2)),
            fingerprint: try rows.text(row, 3), rows: try rows.int8(row, 4),
            bytes: try rows.int8(row, 5),
            isUnprocessed: try rows.bool(row, 6), isReactedTo: try rows.bool(row, 7),
            isWorkedOn: try rows.bool(row, 8)))
      }
      return found
    }
  }
}
