public import Ledger
import Postgres

/// Where the ledger stands.
public struct LedgerStatus: Sendable {
  /// An append that is open, and holds the sealed prefix back at its bound.
  public struct OpenAppend: Sendable {
    public var bound: Int64
    /// Nil for a prepared transaction.
    public var pid: Int32?
    public var user: String?
    public var application: String?
    public var since: Instant?
  }

  /// The last sealed entry.
  public var entry: Int64 = 0
  public var unprocessedEvents: Int64 = 0
  public var queuedReactions: Int64 = 0
  public var pendingProposals: Int64 = 0
  public var queuedSteps: Int64 = 0
  public var runningSteps: Int64 = 0
  public var deadSteps: Int64 = 0
  /// Of the last 24 hours, by status.
  public var missions: [Mission.Status: Int64] = [:]
  public var lastHeartbeat: Instant?
  public var now = Instant(micros: 0)
  public var serverVersion = 0
  public var openAppends: [OpenAppend] = []
}

extension Session {
  private static let counts = Statement(
    """
    SELECT ledger.sealed(),
      (SELECT count(*) FROM ops_agent_events WHERE processed_at IS NULL),
      (SELECT count(*) FROM ops_agent_reactions WHERE status = 'queued'),
      (SELECT count(*) FROM ops_mission_proposals WHERE status IN ('pending', 'voting')),
      (SELECT count(*) FROM ops_mission_steps WHERE status = 'queued'),
      (SELECT count(*) FROM ops_mission_steps WHERE status = 'running'),
      (SELECT count(*) FROM ops_mission_steps WHERE status = 'failed' AND failure_count > 0),
      (SELECT created_at FROM ops_agent_events WHERE type = 'heartbeat:success'
        ORDER BY created_at DESC LIMIT 1), ledger.now()
    """)
  private static let missionCounts = Statement(
    """
    SELECT status, count(*) FROM ops_missions
    WHERE created_at > (SELECT ledger.now()) - interval '24 hours' GROUP BY status
    """)
  private static let holders = Statement(
    """
    SELECT a.bound, a.pid, s.usename::text, s.application_name, s.xact_start
    FROM ledger.appends_in_flight() AS a LEFT JOIN pg_stat_activity AS s ON s.pid = a.pid
    WHERE s.xact_start IS NULL OR s.xact_start < clock_timestamp() - interval '1 second'
    ORDER BY a.bound LIMIT 20
    """)

  /// Where the ledger stands: two round trips, none of which reads history.
  public func status() throws(OpsError) -> LedgerStatus {
    try seal()
    let connection = try connection()
    return try onDatabase { () throws(PostgresError) in
      let answers = try connection.pipeline([
        (Self.counts, Parameters()), (Self.missionCounts, Parameters()),
        (Self.holders, Parameters()),
      ])
      var status = LedgerStatus()
      status.serverVersion = connection.serverVersion
      let counts = answers[0]
      status.entry = try counts.int8(0, 0)
      status.unprocessedEvents = try counts.int8(0, 1)
      status.queuedReactions = try counts.int8(0, 2)
      status.pendingProposals = try counts.int8(0, 3)
      status.queuedSteps = try counts.int8(0, 4)
      status.runningSteps = try counts.int8(0, 5)
      status.deadSteps = try counts.int8(0, 6)
      status.lastHeartbeat = try counts.timestamptzIfPresent(0, 7).map(Instant.init(micros:))
      status.now = Instant(micros: try counts.timestamptz(0, 8))
      for row in 0..<answers[1].count {
        guard let label = Mission.Status(rawValue: try answers[1].text(row, 0)) else { continue }
        status.missions[label] = try answers[1].int8(row, 1)
      }
      for row in 0..<answers[2].count {
        status.openAppends.append(try Self.openAppend(answers[2], row))
      }
      return status
    }
  }

  private static func openAppend(
    _ rows: Rows, _ row: Int
  ) throws(PostgresError) -> LedgerStatus.OpenAppend {
    LedgerStatus.OpenAppend(
      bound: try rows.int8(row, 0), pid: try rows.int4IfPresent(row, 1),
      user: try rows.textIfPresent(row, 2), application: try rows.textIfPresent(row, 3),
      since: try rows.timestamptzIfPresent(row, 4).map(Instant.init(micros:)))
  }
}
