import Ledger
import Log
import Postgres

/// A queued step as a claim finds it.
struct QueuedStep {
  let step: Step
  let mission: Mission
  let cause: Int64?
  let failedRuns: Int

  /// Behind the columns that it reads: the bytes that were taken.
  static let taken = Step.columns.count + Mission.columns.count + 2

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
    CASE WHEN \(step).params ? '\(Noop.failTimesField)' THEN (SELECT count(*) FROM public.ops_action_runs AS r
      WHERE r.step_id = \(step).id AND r.status = 'failed') ELSE 0 END
    """
  }

  /// Its mission has not succeeded. A failed mission has queued steps only where somebody tries them
  /// again. The mission is asked for as a value, and not joined: a plan that was made while there were few
  /// would else begin with all missions.
  private static let mayRun = """
    (SELECT m.status IN ('approved', 'running', 'failed')
      FROM public.ops_missions AS m WHERE m.id = s.mission_id) AND s.id <> ALL ($2::uuid[])
    """
  /// Without a time it may run at once, whatever its creation says: clocks are set back.
  private static let isDue = "coalesce(s.not_before <= (SELECT ledger.now()), true)"
  /// As the partial indexes say it.
  static let isReady = "s.status = 'queued' AND coalesce(cardinality(s.needs), 0) = 0"
  static let isFollowing = "s.status = 'queued' AND coalesce(cardinality(s.needs), 0) > 0"
  static let isReleased = """
    NOT EXISTS (SELECT FROM public.ops_mission_steps AS p WHERE p.mission_id = s.mission_id
      AND p.ordinal = ANY (s.needs) AND p.status <> 'succeeded')
    """
  private static let locked = "FOR NO KEY UPDATE OF s SKIP LOCKED"

  private static func fitting(_ steps: String) -> String {
    Fitting.rows(
      """
      SELECT \(Step.select("q")), \(Mission.select("m", prefix: "of_mission_")),
        \(Step.bytes("q")) + \(Mission.bytes("m")) AS bytes
      FROM (\(steps)) AS q CROSS JOIN LATERAL (
        SELECT * FROM public.ops_missions AS m WHERE m.id = q.mission_id LIMIT 1) AS m
      """)
  }

  /// What ``QueuedStep`` reads, of the steps that a query locks. Steps that others hold are passed over, so
  /// nobody waits here. Their missions are not locked: one that is started is written by its version, so
  /// that of two who start it one claims again.
  private static func claim(_ steps: String) -> Statement {
    Statement(
      """
      SELECT \(Step.select("c")), \(Mission.prefixed("c", "of_mission_")),
        \(Engine.entryOf("c")),
        \(failedRuns(of: "c")), c.taken
      FROM \(fitting(steps)) AS c
      """)
  }

  /// Those that wait for no time, and those whose time has come, each from the front of an index.
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
  static let allocateIfQueued = Statement(
    """
    SELECT entry, recorded_at FROM ledger.allocate_entry()
    WHERE EXISTS (SELECT FROM public.ops_mission_steps WHERE status = 'queued')
    """)

  static func ready(_ batch: Batch, _ executors: [String]) -> (Statement, Parameters) {
    var parameters = Parameters()
    batch.append(to: &parameters)
    parameters.texts(executors)
    return (readySteps, parameters)
  }

  static func followers(
    _ following: Following, _ batch: Batch, _ executors: [String]
  ) -> (Statement, Parameters) {
    var parameters = Parameters()
    batch.append(to: &parameters)
    parameters.texts(executors)
    switch following {
    case .all: return (allFollowers, parameters)
    case .of(let missions):
      parameters.uuids(missions)
      return (followersOf, parameters)
    }
  }

  /// Until the first step that follows others is due again, for who has looked at all of them `$2` seconds
  /// ago: a look at little cost does not see it.
  static let nextRetry = Statement(
    """
    SELECT (extract(epoch FROM min(s.not_before)) - extract(epoch FROM (SELECT ledger.now())))::float8
    FROM public.ops_mission_steps AS s WHERE \(isFollowing)
      AND s.not_before > (SELECT ledger.now()) - pg_catalog.make_interval(secs => $2::float8)
      AND s.not_before < 'infinity' AND coalesce(s.executor, s.kind) = ANY ($1::text[])
    """)

  /// What a waiting worker asks, at little cost: is there anything for it, and when will there be.
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
    parameters.uuids(quarantined.skipped)
    let rows = try session.readBack(Queue.look, parameters)
    return try onRow { () throws(PostgresError) in
      QueueLook(
        isClaimable: try rows.bool(0, 0), isLeaseExpired: try rows.bool(0, 1),
        rank: Int(try rows.int8(0, 3)), seconds: try rows.float8IfPresent(0, 2))
    }
  }

  /// Until the first step that follows others is due again; nil where none has failed. Less than 0 where one
  /// became due since a look that began `elapsed` seconds ago.
  func secondsUntilRetry(elapsed: Double) throws(OpsError) -> Double? {
    var parameters = Parameters()
    parameters.texts(Self.runnable(cache.policies.worker))
    parameters.float8(elapsed)
    let rows = try session.readBack(Queue.nextRetry, parameters)
    return try onRow { () throws(PostgresError) in try rows.float8IfPresent(0, 0) }
  }

  /// Tells waiting workers that there may be something to do. After a commit, in a transaction of its
  /// own: NOTIFY takes a lock of the whole database until its commit, which is not waited for. Nothing
  /// depends on it, since workers look by themselves now and then.
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
