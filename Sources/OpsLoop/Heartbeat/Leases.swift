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
  static let recoveryMax = 200

  /// Takes back steps whose lease has run out: each a failed attempt, tried again at once.
  ///
  /// - Parameter held: Steps that the caller holds itself, and has not done with.
  public func recoverLeases(but held: [StreamID] = []) throws(OpsError) -> Recovered {
    var recovered = Recovered()
    try inBatches(limit: Self.recoveryMax) { (batch) throws(OpsError) in
      let some = try self.recover(batch, but: held)
      recovered.requeued += some.requeued
      recovered.failed += some.failed
      recovered.stale += some.stale
    }
    return recovered
  }

  private func recover(_ batch: Batch, but held: [StreamID]) throws(OpsError) -> Recovered {
    let expired = expired(but: batch.skipped + held)
    return try perform(by: { (policies) in
      var reads = Reads()
      let asked = ExpiredReads(expired, batch, in: &reads)
      var command = Command(
        reads, allocation: .onlyIf(Self.allocateIfExpired, expired, otherwise: Recovered())
      ) { (found, draft) throws(OpsError) in
        try batch.decide(&draft) { (draft) throws(OpsError) in
          try self.recover(asked, found, batch, self.rules(policies), &draft)
        }
      }
      command.lockWait = batch.lockWait
      return command
    }).answer
  }

  /// What is asked of steps whose lease has run out: they, what waits for them, and the counts of their missions.
  private struct ExpiredReads {
    let expired: Read<Rows>
    let waiting: Read<Rows>
    let counts: Read<[StreamID: StepCounts]>
    /// Where the batch's one member is alone: how many wait, also those that others have locked.
    let waitingCounts: Read<[StreamID: Int]>?

    init(_ parameters: Parameters, _ batch: Batch, in reads: inout Reads) {
      var some = parameters
      some.int8(Int64(batch.limit))
      expired = reads.add(Engine.expired, some)
      waiting = reads.add(batch.isAlone ? Engine.lockFreeWaiting : Engine.lockWaiting, parameters)
      counts = reads.add(Engine.countOfExpired, parameters) { (rows) throws(OpsError) in
        try rows.stepCounts()
      }
      waitingCounts =
        batch.isAlone
        ? reads.add(Engine.countWaiting, parameters) { (rows) throws(OpsError) in try rows.counts()
        }
        : nil
    }
  }

  private func recover(
    _ asked: ExpiredReads, _ found: Found, _ batch: Batch, _ rules: WorkRules, _ draft: inout Draft
  ) throws(OpsError) -> Recovered {
    var expired: [(Step, Run?)] = []
    let rows = try found[asked.expired]
    let (mission, run) = (Step.columns.count, Step.columns.count + Mission.columns.count)
    try batch.noteFitting(rows, taken: run + Run.columns.count)
    for (index, id) in try rows.streamIDs().enumerated() where batch.enter(.step, id) {
      let step = try rows.row(index, of: Step.self)
      let ownMission = try rows.row(index, of: Mission.self, first: mission)
      try draft.load(step, as: step.id)
      try draft.load(ownMission, as: ownMission.id)
      let isRunKnown = try onRow { () throws(PostgresError) in try !rows.isNull(index, run) }
      let ownRun = isRunKnown ? try rows.row(index, of: Run.self, first: run) : nil
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

  /// Steps that would be skipped if one of these were dead; of each mission all of them, or it is told why not.
  private func loadWaiting(
    _ asked: ExpiredReads, _ found: Found, _ draft: inout Draft
  ) throws(OpsError) -> [StreamID: OpsError] {
    var missing: [StreamID: OpsError] = [:]
    var loaded: [StreamID: Int] = [:]
    let rows = try found[asked.waiting]
    for index in 0..<rows.count {
      let mission = try onRow { () throws(PostgresError) in
        StreamID(try rows.uuid(index, Step.columns.count))
      }
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

  /// A lease ends when it says; without one, when its step was not touched for a while; and where a clock
  /// that was ahead began it, as ``Ledger/Instant/isAfter(spanFrom:to:)`` has it, unless its worker is
  /// there, which renews it. Three conditions, each a range of an index of running steps.
  ///
  /// - Parameters:
  ///   - stale: The number of the parameter that says how long that is, in seconds.
  ///   - skipped: The number of the parameter with the steps that are left alone.
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
  /// Whether there is one, at the cost of a few looks into indexes however many run.
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
  /// Only those that nobody else has locked.
  private static let lockFreeWaiting = Statement(selectWaiting + " SKIP LOCKED")
  private static let countWaiting = Statement(
    "SELECT m.id, count(*) FROM \(waiting) WHERE x.status = 'queued' GROUP BY m.id")
  private static let countOfExpired = Statement(
    stepCounts(
      of: "IN (SELECT s.mission_id FROM public.ops_mission_steps AS s WHERE \(isExpired))"))
  private static let allocateIfExpired = Statement(
    """
    SELECT entry, recorded_at FROM ledger.allocate_entry()
    WHERE \(isAnyExpired(stale: "$1", skipped: "$2"))
    """)

  private static let hasExpired = Statement(
    "SELECT \(isAnyExpired(stale: "$1", skipped: "$2"))")
  /// Whether any lease has run out.
  var anyExpired: (Statement, Parameters) {
    (Self.hasExpired, expired(but: quarantined.skipped))
  }

  private func expired(but skipped: [StreamID]) -> Parameters {
    var parameters = Parameters()
    parameters.float8(settings.staleSeconds)
    parameters.uuids(skipped)
    return parameters
  }

  /// Renews the leases of steps that still run.
  ///
  /// - Returns: The tokens that hold from now on. Steps that are missing were lost, or another transaction
  ///   holds their rows at this moment.
  public func renew(_ held: [(StreamID, Step.Token)]) throws(OpsError) -> [StreamID: Step.Token] {
    var parameters = Parameters()
    parameters.uuids(held.map(\.0))
    let seconds = leaseSeconds
    var reads = Reads()
    let free = reads.add(Self.lockFreeSteps, parameters)
    let command = Command(reads) { (found, draft) throws(OpsError) -> [StreamID: Step.Token] in
      let rows = try found[free]
      for index in 0..<rows.count {
        guard let step = try? rows.row(index, of: Step.self) else { continue }
        try? draft.load(step, as: step.id)
      }
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

  private static let lockFreeSteps = Statement(
    """
    SELECT \(Step.select("s")) FROM public.ops_mission_steps AS s WHERE s.id = ANY ($1::uuid[])
    ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED
    """)
}

extension Rows {
  /// `id, count` pairs.
  fileprivate func counts() throws(OpsError) -> [StreamID: Int] {
    try onRow { () throws(PostgresError) in
      var counts: [StreamID: Int] = [:]
      for row in 0..<count { counts[StreamID(try uuid(row, 0))] = Int(try int8(row, 1)) }
      return counts
    }
  }
}

/// Runs what the database may refuse, and says it in the ledger's words.
func onRow<R>(_ body: () throws(PostgresError) -> R) throws(OpsError) -> R {
  do { return try body() } catch { throw OpsError(database: error) }
}
