import JSON
public import Ledger
import Log
import Postgres

/// The effect of the policies: the proposals that the caps let through, their statuses, and the use of the patterns.
public struct PolicyReport: Sendable {
  public struct PatternUse: Equatable, Sendable {
    public var id: String
    public var name: String?
    /// Whether the current matrix has it.
    public var isInMatrix: Bool
    public var reactions = 0
    public var failed = 0
    public var approved = 0
    public var missionsSucceeded = 0
    public var missionsFailed = 0
  }

  public var dailyMax: Int32?
  /// The proposals of this UTC day that count against the caps, by source.
  public var today: [String: Int] = [:]
  public var refusedToday = 0
  public var last24h = 0
  /// The proposals of the last 30 days, by status.
  public var byStatus: [String: Int] = [:]
  public var patterns: [PatternUse] = []
}

extension Engine {
  /// Reports on the last 30 days, and for the caps on this UTC day.
  public func policyReport() throws(OpsError) -> PolicyReport {
    let policies = try policies()
    var report = PolicyReport()
    report.dailyMax = policies.caps.value?.dailyMax
    let sources = try session.query(Self.proposalsBySource)
    let statuses = try session.query(Self.proposalsByStatus)
    let uses = try session.query(Self.patternUse)
    try onDatabase { () throws(PostgresError) in
      for row in 0..<sources.count {
        report.today[try sources.text(row, 0)] = Int(try sources.int8(row, 1))
        report.refusedToday += Int(try sources.int8(row, 2))
        report.last24h += Int(try sources.int8(row, 3))
      }
    }
    report.byStatus = try statuses.dictionary { (row) throws(PostgresError) in
      (try statuses.text(row, 0), Int(try statuses.int8(row, 1)))
    }
    report.patterns = try patterns(uses, policies.matrix.value)
    return report
  }

  private func patterns(
    _ rows: Rows, _ matrix: ReactionMatrix?
  ) throws(OpsError) -> [PolicyReport.PatternUse] {
    var uses: [PolicyReport.PatternUse] = (matrix?.patterns ?? []).map {
      .init(id: $0.id, name: $0.name, isInMatrix: true)
    }
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count {
        let id = try rows.textIfPresent(row, 0) ?? "(none)"
        let index = uses.firstIndex { $0.id == id } ?? uses.count
        if index == uses.count { uses.append(.init(id: id, name: nil, isInMatrix: false)) }
        uses[index].reactions = Int(try rows.int8(row, 1))
        uses[index].failed = Int(try rows.int8(row, 2))
        uses[index].approved = Int(try rows.int8(row, 3))
        uses[index].missionsSucceeded = Int(try rows.int8(row, 4))
        uses[index].missionsFailed = Int(try rows.int8(row, 5))
      }
    }
    return uses.sorted { ($1.reactions, $0.id) < ($0.reactions, $1.id) }
  }

  /// The first moment of this UTC day.
  static let day = "date_trunc('day', (SELECT ledger.now()) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
  /// SQL for whether a time lies in the last hours or days, and not in the future.
  private static func isWithin(_ time: String, _ span: String) -> String {
    "\(time) BETWEEN (SELECT ledger.now()) - interval '\(span)' AND (SELECT ledger.now())"
  }
  private static let isRefused = "coalesce(p.policy_snapshot ? 'gate_refused', false)"
  private static let proposalsBySource = Statement(
    """
    SELECT p.source, count(*) FILTER (WHERE p.created_at >= \(day) AND NOT \(isRefused)),
      count(*) FILTER (WHERE p.created_at >= \(day) AND \(isRefused)),
      count(*) FILTER (WHERE NOT \(isRefused))
    FROM public.ops_mission_proposals AS p
    WHERE \(isWithin("p.created_at", "24 hours")) GROUP BY p.source
    """)
  private static let proposalsByStatus = Statement(
    """
    SELECT CASE WHEN \(isRefused) THEN 'refused' ELSE p.status::text END, count(*)
    FROM public.ops_mission_proposals AS p
    WHERE \(isWithin("p.created_at", "30 days")) GROUP BY 1
    """)
  private static let patternUse = Statement(
    """
    SELECT r.payload->>'pattern_id', count(*), count(*) FILTER (WHERE r.status = 'failed'),
      count(*) FILTER (WHERE p.status IN ('approved', 'auto_approved')),
      count(*) FILTER (WHERE m.status = 'succeeded'), count(*) FILTER (WHERE m.status = 'failed')
    FROM public.ops_agent_reactions AS r
      LEFT JOIN public.ops_mission_proposals AS p ON p.id = CASE
        WHEN r.payload->'result'->>'r_proposal_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        THEN (r.payload->'result'->>'r_proposal_id')::uuid END
      LEFT JOIN LATERAL (SELECT m.status FROM public.ops_missions AS m WHERE m.proposal_id = p.id
        ORDER BY m.created_at, m.id LIMIT 1) AS m ON true
    WHERE \(isWithin("r.created_at", "30 days")) GROUP BY 1
    """)
}
