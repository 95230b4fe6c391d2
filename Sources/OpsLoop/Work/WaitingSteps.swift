public import Ledger
import Log
import Postgres

/// Counts of queued steps, each by the first reason for which it may not run now.
public struct WaitingSteps: Equatable, Sendable {
  public var queued = 0
  public var missionClosed = 0
  public var behindAnother = 0
  /// Steps whose executor is paused or unknown, by its name.
  public var executors: [String: Int] = [:]
  public var notBefore = 0
  /// The time at which the first of these may run.
  public var nextAt: Instant?
  /// Steps that a worker could claim now: they were queued after this worker's last claim, or locked during it.
  public var claimable = 0
}

extension Engine {
  private static let waiting = Statement(
    """
    SELECT w.reason, CASE w.reason WHEN 'executor' THEN w.executor END, count(*),
      min(w.not_before) FILTER (WHERE w.reason = 'time' AND w.not_before < 'infinity')
    FROM (
      SELECT coalesce(s.executor, s.kind) AS executor, s.not_before,
        CASE WHEN m.status = 'succeeded' THEN 'mission'
          WHEN EXISTS (
            SELECT FROM public.ops_mission_steps AS p WHERE p.mission_id = s.mission_id
              AND p.ordinal = ANY (s.needs) AND p.status <> 'succeeded') THEN 'step'
          WHEN NOT coalesce(s.executor, s.kind) = ANY ($1::text[]) THEN 'executor'
          WHEN s.not_before > n.now THEN 'time'
          ELSE 'none' END AS reason
      FROM public.ops_mission_steps AS s JOIN public.ops_missions AS m ON m.id = s.mission_id,
        (SELECT ledger.now() AS now) AS n
      WHERE s.status = 'queued') AS w
    GROUP BY 1, 2
    """)

  /// Why queued steps may not run; nil if none is queued.
  public func waitingSteps() throws(OpsError) -> WaitingSteps? {
    let runnable = Self.runnable(cache.policies.worker)
    let rows = try session.query(Self.waiting, Parameters { $0.texts(runnable) })
    var waiting = WaitingSteps()
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count {
        let count = Int(try rows.int8(row, 2))
        waiting.queued += count
        switch try rows.text(row, 0) {
        case "mission": waiting.missionClosed = count
        case "step": waiting.behindAnother = count
        case "executor": waiting.executors[try rows.text(row, 1)] = count
        case "time":
          waiting.notBefore = count
          waiting.nextAt = try rows.timestamptzIfPresent(row, 3).map(Instant.init(micros:))
        default: waiting.claimable = count
        }
      }
    }
    return waiting.queued == 0 ? nil : waiting
  }
}
