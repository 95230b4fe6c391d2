import Ledger
import Log
import Postgres

/// A queued step as a claim finds it.
struct QueuedStep {
  let step: Step
  let mission: Mission
  let cause: Int64?
  let failedRuns: Int

  /// When it became due.
  var due: Instant { step.notBefore ?? step.createdAt }

  init(_ rows: Rows, _ index: Int) throws(OpsError) {
    step = try rows.row(index, of: Step.self)
    mission = try rows.row(index, of: Mission.self, first: Step.columns.count)
    let last = Step.columns.count + Mission.columns.count
    cause = try rows.cause(index, last)
    do { failedRuns = Int(try rows.int8(index, last + 1)) } catch {
      throw OpsError(database: error)
    }
  }
}

/// The SQL of the queue: which steps may run, and when somebody should look again.
enum Queue {
  /// Waiting workers listen to it; see ``Engine/wake()``.
  static let channel = "opsledger_steps"

  private static func failedRuns(of step: String) -> String {
    """
    CASE WHEN \(step).params ? 'fail_times' THEN (SELECT count(*) FROM ops_action_runs AS r
      WHERE r.step_id = \(step).id AND r.status = 'failed') ELSE 0 END
    """
  }

  /// Due, its mission not succeeded, and both of versions that a history can have. A failed mission has
  /// queued steps only where somebody tries them again. The mission is asked for as a value, and not
  /// joined: a plan that was made while there were few would else begin with all missions.
  private static let mayRun = """
    coalesce(s.not_before, s.created_at) <= (SELECT ledger.now())
      AND (SELECT m.status IN ('approved', 'running', 'failed')
          AND m.version BETWEEN 1 AND 2000000000
        FROM ops_missions AS m WHERE m.id = s.mission_id)
      AND s.version BETWEEN 1 AND 2000000000 AND s.failure_count BETWEEN 0 AND 2000000000
    """
  /// As the partial indexes say it.
  static let isReady = "s.status = 'queued' AND coalesce(cardinality(s.needs), 0) = 0"
  static let isFollowing = "s.status = 'queued' AND coalesce(cardinality(s.needs), 0) > 0"
  static let isReleased = """
    NOT EXISTS (SELECT FROM ops_mission_steps AS p WHERE p.mission_id = s.mission_id
      AND p.ordinal = ANY (s.needs) AND p.status <> 'succeeded')
    """
  private static let locked = "FOR NO KEY UPDATE OF s SKIP LOCKED"

  /// What ``QueuedStep`` reads, of the steps that a query locks. Steps that others hold are passed over, so
  /// nobody waits here. Their missions are not locked: one that is started is written by its version, so
  /// that of two who start it one claims again.
  private static func claim(_ steps: String) -> Statement {
    Statement(
      """
      SELECT \(Step.select("c")), \(Mission.select("m")),
        \(Engine.entryOf("c")),
        \(failedRuns(of: "c"))
      FROM (\(steps)) AS c CROSS JOIN LATERAL (
        SELECT * FROM ops_missions AS m WHERE m.id = c.mission_id LIMIT 1) AS m
      """)
  }

  private static let readySteps = claim(
    """
    SELECT q.* FROM unnest($2::text[]) AS x(executor) CROSS JOIN LATERAL (
      SELECT s.* FROM ops_mission_steps AS s
      WHERE \(isReady) AND coalesce(s.executor, s.kind) = x.executor AND \(mayRun)
      ORDER BY coalesce(s.not_before, s.created_at), s.id LIMIT $1::bigint \(locked)) AS q
    """)
  private static let allFollowers = claim(
    """
    SELECT s.* FROM ops_mission_steps AS s
    WHERE \(isFollowing) AND coalesce(s.executor, s.kind) = ANY ($2::text[])
      AND \(mayRun) AND \(isReleased) LIMIT $1::bigint \(locked)
    """)
  private static let followersOf = claim(
    """
    SELECT s.* FROM ops_mission_steps AS s
    WHERE s.mission_id = ANY ($3::uuid[]) AND \(isFollowing)
      AND coalesce(s.executor, s.kind) = ANY ($2::text[]) AND \(mayRun) AND \(isReleased)
    LIMIT $1::bigint \(locked)
    """)
  static let named = Statement(
    """
    SELECT \(Step.select("s")), \(failedRuns(of: "s")) FROM ops_mission_steps AS s
    WHERE s.id = ANY ($1::uuid[])
    """)
  static let drawIfQueued = Statement(
    """
    SELECT entry, recorded_at FROM ledger.draw()
    WHERE EXISTS (SELECT FROM ops_mission_steps WHERE status = 'queued')
    """)

  static func ready(_ limit: Int, _ executors: [String]) -> (Statement, Parameters) {
    var parameters = Parameters()
    parameters.int8(Int64(limit))
    parameters.texts(executors)
    return (readySteps, parameters)
  }

  static func followers(
    _ following: Following, _ limit: Int, _ executors: [String]
  ) -> (Statement, Parameters) {
    var parameters = Parameters()
    parameters.int8(Int64(limit))
    parameters.texts(executors)
    switch following {
    case .all: return (allFollowers, parameters)
    case .of(let missions):
      parameters.uuids(missions)
      return (followersOf, parameters)
    }
  }

  /// Until the first step that follows others is due again, for who has just looked at all of them: a look
  /// at little cost does not see it.
  static let nextRetry = Statement(
    """
    SELECT extract(epoch FROM min(s.not_before) - (SELECT ledger.now()))::float8
    FROM ops_mission_steps AS s WHERE \(isFollowing) AND s.not_before > (SELECT ledger.now())
      AND coalesce(s.executor, s.kind) = ANY ($1::text[])
    """)

  /// What a waiting worker asks, at little cost: is there anything for it, and when will there be.
  static let look = Statement(
    """
    WITH n AS (SELECT ledger.now() AS now)
    SELECT EXISTS (SELECT FROM n, unnest($1::text[]) AS x(executor) CROSS JOIN LATERAL (
        SELECT FROM ops_mission_steps AS s WHERE \(isReady)
          AND coalesce(s.executor, s.kind) = x.executor
          AND coalesce(s.not_before, s.created_at) <= n.now LIMIT 1) AS one),
      \(Engine.isAnyExpired(stale: "$2")),
      (extract(epoch FROM least(
        (SELECT min(f.at) FROM n, unnest($1::text[]) AS x(executor) CROSS JOIN LATERAL (
          SELECT coalesce(s.not_before, s.created_at) AS at FROM ops_mission_steps AS s
          WHERE \(isReady) AND coalesce(s.executor, s.kind) = x.executor
            AND coalesce(s.not_before, s.created_at) > n.now
          ORDER BY coalesce(s.not_before, s.created_at) LIMIT 1) AS f),
        (SELECT min(lease_expires_at) FROM ops_mission_steps WHERE status = 'running')))
        - (SELECT extract(epoch FROM now) FROM n))::float8,
      (SELECT count(*) FROM n, ledger.workers AS w WHERE w.watches AND w.name < $3::text
        AND w.seen_at > n.now - interval '1 minute')
    """)
}

/// What there is for a waiting worker.
struct QueueLook {
  var isClaimable: Bool
  var isLeaseExpired: Bool
  /// Workers that watch, too, and come first by their names.
  var rank: Int
  /// Until something becomes due or a lease ends, where either is known.
  var seconds: Double?
}

extension Engine {
  func lookAtQueue(_ worker: String) throws(OpsError) -> QueueLook {
    var parameters = Parameters()
    parameters.texts(Self.runnable(cache.policies.worker))
    parameters.float8(settings.staleSeconds)
    parameters.text(worker)
    let rows = try session.query(Queue.look, parameters)
    return try onRow { () throws(PostgresError) in
      QueueLook(
        isClaimable: try rows.bool(0, 0), isLeaseExpired: try rows.bool(0, 1),
        rank: Int(try rows.int8(0, 3)), seconds: try rows.float8IfPresent(0, 2))
    }
  }

  /// Until the first step that follows others is due again; nil where none has failed.
  func secondsUntilRetry() throws(OpsError) -> Double? {
    var parameters = Parameters()
    parameters.texts(Self.runnable(cache.policies.worker))
    let rows = try session.readBack(Queue.nextRetry, parameters)
    return try onRow { () throws(PostgresError) in try rows.float8IfPresent(0, 0) }
  }

  /// Tells waiting workers that there may be something to do. After a commit, in a transaction of its
  /// own: NOTIFY takes a lock of the whole database until its commit, which is not waited for. Nothing
  /// depends on it, since workers look by themselves now and then.
  public func wake() {
    guard let connection = try? session.connection() else { return }
    _ = try? connection.pipeline([
      (Self.begin, Parameters()), (Self.asynchronously, Parameters()),
      (Self.notify, Parameters()), (Self.commit, Parameters()),
    ])
    try? connection.rollbackIfOpen()
  }

  private static let begin = Statement("BEGIN")
  private static let asynchronously = Statement("SET LOCAL synchronous_commit = off")
  private static let notify = Statement("SELECT pg_notify('\(Queue.channel)', '')")
  private static let commit = Statement("COMMIT")
}
