import JSON
public import Ledger
import Log
import Postgres

/// What the recovery of expired leases did.
public struct Recovered: Equatable, Sendable {
  public var requeued = 0
  public var failed = 0
  /// Steps that ran without a lease of their own (claimed by hand or by an old client), and were not
  /// touched for too long; not among the others.
  public var stale = 0

  public init() {}

  public var total: Int { requeued + failed + stale }
}

extension Engine {
  public static let recoveryMax = 200

  /// Takes back steps whose lease has run out: each a failed attempt, tried again at once.
  public func recoverLeases() throws(OpsError) -> Recovered {
    var recovered = Recovered()
    let expired = expired
    let command = Command(
      load: [
        expired, (Self.lockWaiting, expired.1), (Self.countOfExpired, expired.1), cache.request,
      ],
      draw: (Self.drawIfExpired, expired.1)
    ) { (answers, draft) throws(OpsError) in
      _ = try self.cache.take(answers[3])
      recovered = try self.recover(answers, &draft)
      return .array([recovered.requeued, recovered.failed, recovered.stale].map(JSON.int))
    }
    let committed = try perform(command)
    if committed.entry == nil { recovered = Recovered() }
    if committed.isRepeat, let counts = committed.result.arrayValue, counts.count == 3 {
      recovered.requeued = counts[0].intValue ?? 0
      recovered.failed = counts[1].intValue ?? 0
      recovered.stale = counts[2].intValue ?? 0
    }
    return recovered
  }

  private func recover(_ answers: [Rows], _ draft: inout Draft) throws(OpsError) -> Recovered {
    var expired: [(Step, Run?)] = []
    for index in 0..<answers[0].count {
      let step = try answers[0].row(index, of: Step.self)
      let mission = try answers[0].row(index, of: Mission.self, first: Step.columns.count)
      try draft.load(step, as: step.id)
      try draft.load(mission, as: mission.id)
      let first = Step.columns.count + Mission.columns.count
      let isRunKnown = try onRow { () throws(PostgresError) in
        try !answers[0].isNull(index, first)
      }
      let run = isRunKnown ? try answers[0].row(index, of: Run.self, first: first) : nil
      if let run { try draft.load(run, as: run.id) }
      expired.append((step, run))
    }
    for step in try answers[1].rows(of: Step.self) { try draft.load(step, as: step.id) }
    var counts = try answers[2].stepCounts()
    var recovered = Recovered()
    for (step, run) in expired {
      var count = counts[step.missionID] ?? StepCounts(unfinished: 1, failed: 0)
      try draft.recover(step, run: run, rules: rules, counts: &count)
      counts[step.missionID] = count
      if step.leaseExpiresAt == nil {
        recovered.stale += 1
      } else if draft.row(step.id, of: Step.self)?.status == .queued {
        recovered.requeued += 1
      } else {
        recovered.failed += 1
      }
    }
    return recovered
  }

  /// A lease ends when it says; without one, when its step was not touched for a while. Two conditions,
  /// each a range of the index of running steps.
  ///
  /// - Parameter stale: The number of the parameter that says how long that is, in seconds.
  static func expiry(stale: String) -> (leases: String, untouched: String) {
    (
      "s.status = 'running' AND s.lease_expires_at < (SELECT ledger.now())",
      """
      s.status = 'running' AND s.lease_expires_at IS NULL AND greatest(s.reserved_at, s.updated_at)
        + make_interval(secs => \(stale)::double precision) < (SELECT ledger.now())
      """
    )
  }
  /// Whether there is one, at the cost of two looks into that index however many run.
  static func isAnyExpired(stale: String) -> String {
    let (leases, untouched) = expiry(stale: stale)
    return """
      (EXISTS (SELECT FROM ops_mission_steps AS s WHERE \(leases))
        OR EXISTS (SELECT FROM ops_mission_steps AS s WHERE \(untouched)))
      """
  }
  private static let isExpired: String = {
    let (leases, untouched) = expiry(stale: "$1")
    return "(\(leases) OR \(untouched))"
  }()
  private static let expired = Statement(
    """
    SELECT \(Step.select("s")), \(Mission.select("m")), \(Run.select("r"))
    FROM ops_mission_steps AS s JOIN ops_missions AS m ON m.id = s.mission_id
      LEFT JOIN LATERAL (SELECT * FROM ops_action_runs AS r
        WHERE r.step_id = s.id AND r.status = 'started' ORDER BY r.started_at DESC, r.id DESC
        LIMIT 1) AS r ON true
    WHERE \(isExpired)
    ORDER BY s.id LIMIT \(recoveryMax) FOR NO KEY UPDATE OF s, m SKIP LOCKED
    """)
  /// Steps that would be skipped if one of these were dead.
  private static let lockWaiting = Statement(
    """
    SELECT \(Step.select("w"))
    FROM (SELECT DISTINCT s.mission_id AS id FROM ops_mission_steps AS s WHERE \(isExpired)) AS m
      CROSS JOIN LATERAL (\(stepsOf("m.id"))) AS x JOIN ops_mission_steps AS w ON w.id = x.id
    WHERE x.status = 'queued' ORDER BY w.id FOR NO KEY UPDATE OF w
    """)
  private static let countOfExpired = Statement(
    stepCounts(
      of: "IN (SELECT s.mission_id FROM ops_mission_steps AS s WHERE \(isExpired))"))
  private static let drawIfExpired = Statement(
    """
    SELECT entry, recorded_at FROM ledger.draw()
    WHERE \(isAnyExpired(stale: "$1"))
    """)

  private static let hasExpired = Statement(
    "SELECT \(isAnyExpired(stale: "$1"))")
  /// Whether any lease has run out.
  var anyExpired: (Statement, Parameters) { (Self.hasExpired, expired.1) }

  private var expired: (Statement, Parameters) {
    var parameters = Parameters()
    parameters.float8(settings.staleSeconds)
    return (Self.expired, parameters)
  }

  /// Renews the leases of steps that still run.
  ///
  /// - Returns: The tokens that hold from now on; steps that are missing were lost.
  public func renew(_ held: [(StreamID, Step.Token)]) throws(OpsError) -> [StreamID: Step.Token] {
    var parameters = Parameters()
    parameters.uuids(held.map(\.0))
    parameters.uuids([])
    let seconds = leaseSeconds
    var renewed: [StreamID: Step.Token] = [:]
    let command = Command(load: [(Self.lockSteps, parameters)]) {
      (answers, draft) throws(OpsError) in
      renewed = [:]
      for step in try answers[0].rows(of: Step.self) { try draft.load(step, as: step.id) }
      for (id, token) in held {
        guard let step = draft.row(id, of: Step.self),
          let events = try? Step.decide(
            .renew(token, expiresAt: draft.at.adding(seconds: seconds)), given: step)
        else { continue }
        for event in events { draft.append(event, of: Step.self, to: id) }
        renewed[id] = Step.Token(version: token.version + 1, runID: token.runID)
      }
      return .array(renewed.keys.map { .string($0.description) })
    }
    let committed = try perform(command)
    if committed.isRepeat {
      renewed = [:]
      let ids = (committed.result.arrayValue ?? []).compactMap {
        $0.stringValue.flatMap { StreamID($0) }
      }
      for (id, token) in held where ids.contains(id) {
        renewed[id] = Step.Token(version: token.version + 1, runID: token.runID)
      }
    }
    return renewed
  }
}

/// Runs what the database may refuse, and says it in the ledger's words.
func onRow<R>(_ body: () throws(PostgresError) -> R) throws(OpsError) -> R {
  do { return try body() } catch { throw OpsError(database: error) }
}
