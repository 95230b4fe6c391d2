import Ledger
import Log
import Postgres

/// A queued step that a claim found.
struct QueuedStep {
  let step: Step
  let mission: Mission
  let cause: Int64?
  let failedRuns: Int

  /// The column that ``Fitting/rows(_:)`` adds.
  static let taken = Step.columns.count + Mission.columns.count + 2

  /// When it became due.
  var due: Instant { step.notBefore ?? step.createdAt }

  init(_ rows: Rows, _ index: Int) throws(OpsError) {
    step = try rows.row(index, of: Step.self)
    mission = try rows.row(index, of: Mission.self, first: Step.columns.count)
    let last = Step.columns.count + Mission.columns.count
    cause = try rows.cause(index, last)
    failedRuns = Int(
      try onDatabase { () throws(PostgresError) in try rows.int8(index, last + 1) })
  }
}

/// The SQL of the queue: which steps may run, and when a worker should ask again.
enum Queue {
  /// The channel that waiting workers listen to; see ``Engine/wake()``.
  static let channel = "opsledger_steps"

  /// The step's mission has not succeeded. A failed mission has queued steps only if somebody queued them again. This is
  /// not a join: a plan that was made while there were few missions would begin with all of them.
  private static let mayRun = """
    (SELECT m.status IN ('approved', 'running', 'failed')
      FROM public.ops_missions AS m WHERE m.id = s.mission_id) AND s.id <> ALL ($2::uuid[])
    """
  /// A step without a time may run at once, even if it was created in the future: clocks are set back.
  private static let isDue = "coalesce(s.not_before <= (SELECT ledger.now()), true)"
  /// The conditions of the partial indexes.
  static let isReady = "s.status = 'queued' AND coalesce(cardinality(s.needs), 0) = 0"
  static let isFollowing = "s.status = 'queued' AND coalesce(cardinality(s.needs), 0) > 0"
  static let isReleased = """
    NOT EXISTS (SELECT FROM public.ops_mission_steps AS p WHERE p.mission_id = s.mission_id
      AND p.ordinal = ANY (s.needs) AND p.status <> 'succeeded')
    """
  private static let locked = "FOR NO KEY UPDATE OF s SKIP LOCKED"

  /// Reads the columns of ``QueuedStep`` for the steps that a query locks. It skips steps that others have locked, so
  /// nobody waits. It does not lock missions: the update that starts a mission names its version, so of two workers that
  /// start it one claims again.
  private static func claim(_ steps: String) -> Statement {
    let fitting = Fitting.rows(
      """
      SELECT \(Step.select("q")), \(Mission.select("m", prefix: "of_mission_")),
        \(Step.bytes("q")) + \(Mission.bytes("m")) AS bytes
      FROM (\(steps)) AS q CROSS JOIN LATERAL (
        SELECT * FROM public.ops_missions AS m WHERE m.id = q.mission_id LIMIT 1) AS m
      """)
    return Statement(
      """
      SELECT \(Step.select("c")), \(Mission.prefixed("c", "of_mission_")), \(Engine.entryOf("c")),
        CASE WHEN c.params ? '\(Noop.failTimesField)' THEN (SELECT count(*) FROM public.ops_action_runs AS r
          WHERE r.step_id = c.id AND r.status = 'failed') ELSE 0 END, c.taken
      FROM \(fitting) AS c
      """)
  }

  /// Steps that wait for no time, and steps whose time has come, each from the front of an index.
  private static let readySteps = claim(
    """
    SELECT q.* FROM unnest($3::text[]) AS x(executor) CROSS JOIN LATERAL (
      SELECT * FROM (SELECT s.* FROM public.ops_mission_steps AS s
        WHERE \(isReady) AND s.not_before IS NULL AND coalesce(s.executor, s.kind) = x.executor
          AND \(mayRun)
        ORDER BY s.created_at, s.id LIMIT $1::bigint \(locked)) AS undelayed
      UNION ALL
      SELECT * FROM (SELECT s.* FROM public.ops_mission_steps AS s
        WHERE \(isReady) AND s.not_before <= (SELECT ledger.now())
          AND coalesce(s.executor, s.kind) = x.executor AND \(mayRun)
        ORDER BY s.not_before, s.id LIMIT $1::bigint \(locked)) AS delayed) AS q
    """)
  private static let allFollowers = claim(
    """
    SELECT s.* FROM public.ops_mission_steps AS s
    WHERE \(isFollowing) AND coalesce(s.executor, s.kind) = ANY ($3::text[])
      AND \(isDue) AND \(mayRun) AND \(isReleased) LIMIT $1::bigint \(locked)
    """)
  private static let followersOf = claim(
    """
    SELECT s.* FROM public.ops_mission_steps AS s
    WHERE s.mission_id = ANY ($4::uuid[]) AND \(isFollowing)
      AND coalesce(s.executor, s.kind) = ANY ($3::text[]) AND \(isDue) AND \(mayRun) AND \(isReleased)
    LIMIT $1::bigint \(locked)
    """)
  static let allocateIfQueued = Statement.allocating(
    if: "EXISTS (SELECT FROM public.ops_mission_steps WHERE status = 'queued')")

  static func ready(_ batch: Batch, _ executors: [String]) -> (Statement, Parameters) {
    (readySteps, parameters(batch, executors))
  }

  static func followers(
    _ following: Following, _ batch: Batch, _ executors: [String]
  ) -> (Statement, Parameters) {
    var parameters = parameters(batch, executors)
    switch following {
    case .all: return (allFollowers, parameters)
    case .of(let missions):
      parameters.uuids(missions)
      return (followersOf, parameters)
    }
  }

  private static func parameters(_ batch: Batch, _ executors: [String]) -> Parameters {
    Parameters {
      batch.append(to: &$0)
      $0.texts(executors)
    }
  }

  /// The seconds until the first step that follows others is due again, for a worker that read all of them `$2` seconds
  /// ago. ``look`` does not see these steps.
  static let nextRetry = Statement(
    """
    SELECT (extract(epoch FROM min(s.not_before)) - extract(epoch FROM (SELECT ledger.now())))::float8
    FROM public.ops_mission_steps AS s WHERE \(isFollowing)
      AND s.not_before > (SELECT ledger.now()) - pg_catalog.make_interval(secs => $2::float8)
      AND s.not_before < 'infinity' AND coalesce(s.executor, s.kind) = ANY ($1::text[])
    """)

  /// Tells a waiting worker at little cost whether there is a step for it, and when there will be one.
  static let look = Statement(
    """
    WITH n AS (SELECT ledger.now() AS now)
    SELECT EXISTS (SELECT FROM n, unnest($1::text[]) AS x(executor) CROSS JOIN LATERAL (
        (SELECT FROM public.ops_mission_steps AS s WHERE \(isReady) AND s.not_before IS NULL
          AND coalesce(s.executor, s.kind) = x.executor AND s.id <> ALL ($4::uuid[]) LIMIT 1)
        UNION ALL (SELECT FROM public.ops_mission_steps AS s WHERE \(isReady) AND s.not_before <= n.now
          AND coalesce(s.executor, s.kind) = x.executor AND s.id <> ALL ($4::uuid[]) LIMIT 1)) AS one),
      \(Engine.isAnyExpired(stale: "$2", skipped: "$4")),
      (extract(epoch FROM least(
        (SELECT min(f.at) FROM n, unnest($1::text[]) AS x(executor) CROSS JOIN LATERAL (
          SELECT s.not_before AS at FROM public.ops_mission_steps AS s
          WHERE \(isReady) AND s.not_before > n.now AND coalesce(s.executor, s.kind) = x.executor
          ORDER BY s.not_before LIMIT 1) AS f),
        (SELECT min(lease_expires_at) FROM public.ops_mission_steps WHERE status = 'running'
          AND lease_expires_at > (SELECT now FROM n))))
        - (SELECT extract(epoch FROM now) FROM n))::float8,
      (SELECT count(*) FROM ledger.workers AS w WHERE w.watches AND w.name < $3::text
        AND \(Presence.isHere("w")))
    """)
}

/// The answer to ``Queue/look``.
struct QueueLook {
  var isClaimable: Bool
  var isLeaseExpired: Bool
  /// How many other watching workers have a lesser name.
  var rank: Int
  /// The seconds until a step becomes due or a lease ends; nil if neither is known.
  var seconds: Double?
}

extension Engine {
  func lookAtQueue(_ worker: String) throws(OpsError) -> QueueLook {
    let parameters = Parameters {
      $0.texts(Self.runnable(cache.policies.worker))
      $0.float8(settings.staleSeconds)
      $0.text(worker)
      $0.uuids(quarantined.skipped)
    }
    let rows = try session.readBack(Queue.look, parameters)
    return try onDatabase { () throws(PostgresError) in
      QueueLook(
        isClaimable: try rows.bool(0, 0), isLeaseExpired: try rows.bool(0, 1),
        rank: Int(try rows.int8(0, 3)), seconds: try rows.float8IfPresent(0, 2))
    }
  }

  /// The seconds until the first step that follows others is due again; nil if none waits for a time. They are less than
  /// 0 if one became due in the last `elapsed` seconds.
  func secondsUntilRetry(elapsed: Double) throws(OpsError) -> Double? {
    let parameters = Parameters {
      $0.texts(Self.runnable(cache.policies.worker))
      $0.float8(elapsed)
    }
    let rows = try session.readBack(Queue.nextRetry, parameters)
    return try onDatabase { () throws(PostgresError) in try rows.float8IfPresent(0, 0) }
  }

  /// Tells waiting workers that there may be steps for them, in a second transaction after the commit, since NOTIFY holds
  /// a lock of the whole database until its commit. Nobody waits for that commit, and nothing depends on it: workers also
  /// ask now and then.
  public func wake() {
    guard let connection = try? session.connection() else { return }
    _ = try? connection.pipeline([
      (.begin, Parameters()), (Self.asynchronously, Parameters()),
      (Self.notify, Parameters()), (.commit, Parameters()),
    ])
    try? connection.rollbackIfOpen()
  }

  private static let asynchronously = Statement("SET LOCAL synchronous_commit = off")
  private static let notify = Statement("SELECT pg_notify('\(Queue.channel)', '')")
}
