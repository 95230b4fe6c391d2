public import Ledger
import Log
import Postgres

/// How many steps the recovery of expired leases ended.
public struct Recovered: Equatable, Sendable {
  public var requeued = 0
  public var failed = 0
  /// Steps that ran without a lease (a manual change or an old client claimed them) and did not change for too long.
  /// The other counts leave them out.
  public var stale = 0

  public init() {}

  public var total: Int { requeued + failed + stale }

  static func += (sum: inout Recovered, some: Recovered) {
    sum.requeued += some.requeued
    sum.failed += some.failed
    sum.stale += some.stale
  }
}

extension Engine {
  static let recoveryMax = 200

  /// Ends the attempts of steps whose lease has expired. Each is a failed attempt, and the next may begin at once.
  ///
  /// - Parameter held: Steps that the caller itself still holds.
  public func recoverLeases(but held: [StreamID] = []) throws(OpsError) -> Recovered {
    var recovered = Recovered()
    try inBatches(limit: Self.recoveryMax) { (batch) throws(OpsError) in
      recovered += try self.recover(batch, but: held)
    }
    return recovered
  }

  private func recover(_ batch: Batch, but held: [StreamID]) throws(OpsError) -> Recovered {
    let expired = expired(but: batch.skipped + held)
    return try perform(by: { (policies) in
      var reads = Reads()
      let asked = ExpiredReads(expired, batch, in: &reads)
      return Command(
        batch, reads, allocation: .onlyIf(Self.allocateIfExpired, expired, otherwise: Recovered())
      ) { (found, draft) throws(OpsError) in
        try self.recover(asked, found, batch, self.rules(policies), &draft)
      }
    }).answer
  }

  /// Reads the steps whose lease has expired, the steps that wait for them, and the counts of their missions.
  private struct ExpiredReads {
    let expired: Read<Rows>
    let waiting: Read<Rows>
    let counts: Read<[StreamID: StepCounts]>
    /// Of a batch with one step: how many steps wait, including those that other transactions have locked.
    let waitingCounts: Read<[StreamID: Int]>?

    init(_ parameters: Parameters, _ batch: Batch, in reads: inout Reads) {
      var some = parameters
      some.int8(Int64(batch.limit))
      expired = reads.add(Engine.expired, some)
      waiting = reads.add(batch.isAlone ? Engine.lockFreeWaiting : Engine.lockWaiting, parameters)
      counts = reads.add(Engine.countOfExpired, parameters) { (rows) throws(OpsError) in
        try rows.stepCounts()
      }
      guard batch.isAlone else {
        waitingCounts = nil
        return
      }
      waitingCounts = reads.add(Engine.countWaiting, parameters) { (rows) throws(OpsError) in
        try rows.dictionary { (row) throws(PostgresError) in
          (StreamID(try rows.uuid(row, 0)), Int(try rows.int8(row, 1)))
        }
      }
    }
  }

  private func recover(
    _ asked: ExpiredReads, _ found: Found, _ batch: Batch, _ rules: WorkRules, _ draft: inout Draft
  ) throws(OpsError) -> Recovered {
    var expired: [(Step, Run?)] = []
    let rows = try found[asked.expired]
    let (mission, run) = (Step.columns.count, Step.columns.count + Mission.columns.count)
    try batch.noteFitting(rows, taken: run + Run.columns.count)
    for (index, id) in try rows.ids().enumerated() where batch.enter(.step, id) {
      let step = try rows.row(index, of: Step.self)
      let ownMission = try rows.row(index, of: Mission.self, first: mission)
      try draft.load(step, as: step.id)
      try draft.load(ownMission, as: ownMission.id)
      let hasRun = try onDatabase { () throws(PostgresError) in try !rows.isNull(index, run) }
      let ownRun = hasRun ? try rows.row(index, of: Run.self, first: run) : nil
      if let ownRun { try draft.load(ownRun, as: ownRun.id) }
      expired.append((step, ownRun))
    }
    batch.leave()
    let missing = try loadWaiting(asked, found, &draft)
    var counts = try found[asked.counts]
    var recovered = Recovered()
    for (step, run) in expired {
      batch.look(at: .step, step.id)
      if let error = missing[step.missionID] { throw error }
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

  /// Loads the steps that are skipped if one of the expired steps is dead.
  ///
  /// - Returns: Why not all steps of a mission could be loaded.
  private func loadWaiting(
    _ asked: ExpiredReads, _ found: Found, _ draft: inout Draft
  ) throws(OpsError) -> [StreamID: OpsError] {
    var missing: [StreamID: OpsError] = [:]
    var loaded: [StreamID: Int] = [:]
    let rows = try found[asked.waiting]
    for (index, mission) in try rows.ids(Step.columns.count).enumerated() {
      loaded[mission, default: 0] += 1
      do throws(OpsError) {
        let step = try rows.row(index, of: Step.self)
        try draft.load(step, as: step.id)
      } catch { missing[mission] = error }
    }
    guard let counts = asked.waitingCounts else { return missing }
    for (mission, count) in try found[counts] where loaded[mission, default: 0] < count {
      missing[mission] = OpsError(
        .conflict, "another transaction holds a lock on a step of mission \(mission)")
    }
    return missing
  }

  /// SQL for the three ways in which the attempt of a running step expires. Each is a range of an index.
  ///
  /// The time of its lease has come. The step has no lease, and did not change for a while. A clock that was ahead began
  /// the lease, by the rule of ``Ledger/Instant/isAfter(spanFrom:to:)``, and no worker is there to renew it.
  ///
  /// - Parameters:
  ///   - stale: The parameter with the seconds that a step without a lease has.
  ///   - skipped: The parameter with the steps that do not count.
  private static func expiry(stale: String, skipped: String) -> [String] {
    let age = "make_interval(secs => \(stale)::double precision)"
    let touched = "greatest(s.reserved_at, s.updated_at)"
    return [
      "s.lease_expires_at < (SELECT ledger.now())",
      """
      s.lease_expires_at IS NULL AND (\(touched) < (SELECT ledger.now()) - \(age)
        OR \(touched) > (SELECT ledger.now()) + \(age) AND \(touched) < 'infinity')
      """,
      """
      s.reserved_at > (SELECT ledger.now()) AND s.lease_expires_at > s.reserved_at
        AND extract(epoch FROM s.reserved_at) - extract(epoch FROM (SELECT ledger.now()))
          > extract(epoch FROM s.lease_expires_at) - extract(epoch FROM s.reserved_at)
        AND NOT EXISTS (SELECT FROM ledger.workers AS w
          WHERE w.name = s.leased_by AND \(Presence.isHere("w")))
      """,
    ].map { "(s.status = 'running' AND \($0) AND s.id <> ALL (\(skipped)::uuid[]))" }
  }
  /// SQL for whether a step's attempt has expired. It searches three indexes, however many steps run.
  static func isAnyExpired(stale: String, skipped: String) -> String {
    let any = expiry(stale: stale, skipped: skipped).map {
      "EXISTS (SELECT FROM public.ops_mission_steps AS s WHERE \($0))"
    }
    return "(" + any.joined(separator: " OR ") + ")"
  }
  private static let isExpired =
    "(" + expiry(stale: "$1", skipped: "$2").joined(separator: " OR ") + ")"
  private static let expired = Statement(
    """
    SELECT \(Step.select("x")), \(Mission.prefixed("x", "of_mission_")), \(Run.select("r")), x.taken
    FROM \(Fitting.rows(expiredRows)) AS x
      LEFT JOIN LATERAL (SELECT * FROM public.ops_action_runs AS r
        WHERE r.step_id = x.id AND r.status = 'started' ORDER BY r.started_at DESC, r.id DESC
        LIMIT 1) AS r ON true
    """)
  private static let expiredRows = """
    SELECT \(Step.select("s")), \(Mission.select("m", prefix: "of_mission_")),
      \(Step.bytes("s")) + \(Mission.bytes("m")) AS bytes
    FROM public.ops_mission_steps AS s JOIN public.ops_missions AS m ON m.id = s.mission_id
    WHERE \(isExpired)
    ORDER BY s.id LIMIT $3::bigint FOR NO KEY UPDATE OF s, m SKIP LOCKED
    """
  private static let waiting = """
    (SELECT DISTINCT s.mission_id AS id FROM public.ops_mission_steps AS s WHERE \(isExpired)) AS m
      CROSS JOIN LATERAL (\(stepsOf("m.id"))) AS x
    """
  private static let selectWaiting = """
    SELECT \(Step.select("w")), w.mission_id FROM \(waiting) JOIN public.ops_mission_steps AS w ON w.id = x.id
    WHERE x.status = 'queued' ORDER BY w.id FOR NO KEY UPDATE OF w
    """
  private static let lockWaiting = Statement(selectWaiting)
  private static let lockFreeWaiting = Statement(selectWaiting + " SKIP LOCKED")
  private static let countWaiting = Statement(
    "SELECT m.id, count(*) FROM \(waiting) WHERE x.status = 'queued' GROUP BY m.id")
  private static let countOfExpired = Statement(
    stepCounts(
      of: "IN (SELECT s.mission_id FROM public.ops_mission_steps AS s WHERE \(isExpired))"))
  private static let allocateIfExpired = Statement.allocating(
    if: isAnyExpired(stale: "$1", skipped: "$2"))
  private static let hasExpired = Statement(
    "SELECT \(isAnyExpired(stale: "$1", skipped: "$2"))")
  /// Whether any lease has expired.
  var anyExpired: (Statement, Parameters) {
    (Self.hasExpired, expired(but: quarantined.skipped))
  }

  private func expired(but skipped: [StreamID]) -> Parameters {
    Parameters {
      $0.float8(settings.staleSeconds)
      $0.uuids(skipped)
    }
  }

  /// Renews the leases of steps that still run.
  ///
  /// - Returns: The new fencing tokens. A step without one was lost, or another transaction holds a lock on its row.
  public func renew(_ held: [(StreamID, Step.Token)]) throws(OpsError) -> [StreamID: Step.Token] {
    let seconds = leaseSeconds
    var reads = Reads()
    let free = reads.add(Self.lockFreeSteps, Parameters { $0.uuids(held.map(\.0)) })
    let command = Command(reads) { (found, draft) throws(OpsError) -> [StreamID: Step.Token] in
      draft.loadReadable(try found[free], \Step.id)
      var renewed: [StreamID: Step.Token] = [:]
      for (id, token) in held {
        guard let step = draft.row(id, of: Step.self),
          let events = try? Step.decide(
            .renew(token, expiresAt: draft.at.adding(seconds: seconds)), given: step)
        else { continue }
        for event in events { draft.append(event, of: Step.self, to: id) }
        renewed[id] = Step.Token(version: token.version + 1, runID: token.runID)
      }
      return renewed
    }
    return try perform(command).answer
  }

  private static let lockFreeSteps = Statement.locking(Step.self, waiting: "SKIP LOCKED")
}
