public import Ledger
public import Log
import Postgres

/// The result of a claim.
public struct Claim: Sendable {
  public var steps: [ClaimedStep] = []
  /// Why the loop is halted.
  public var halt: String?
  public var rules: WorkRules
  /// Whether the claim had to leave steps to the next one.
  public var hasLeftSome = false
}

/// Which of the steps that follow others a claim reads. It reads the steps that follow none in the order of an index,
/// but has to examine each of the others.
public enum Following: Sendable {
  /// The steps of missions in which steps have just ended.
  case of([StreamID])
  case all
}

extension Engine {
  /// Leases queued steps that may run to a worker, in the order in which they became due. Steps that follow others come
  /// first, so that begun missions end.
  public func claim(
    _ limit: Int, worker: String, following: Following = .all
  ) throws(OpsError) -> Claim {
    var claim = Claim(rules: rules(cache.policies))
    hasLeftSome = false
    try inBatches(limit: limit) { (batch) throws(OpsError) in
      let some = try self.claimOnce(batch, worker: worker, following)
      claim.steps += some.steps
      (claim.halt, claim.rules) = (some.halt, some.rules)
    }
    claim.hasLeftSome = hasLeftSome
    return claim
  }

  private func claimOnce(
    _ batch: Batch, worker: String, _ following: Following
  ) throws(OpsError) -> Claim {
    let committed = try perform(by: { (policies) in
      let names = Self.runnable(policies.worker)
      var reads = Reads()
      let followers = reads.add(Queue.followers(following, batch, names))
      let ready = reads.add(Queue.ready(batch, names))
      let none = Claim(halt: policies.halt, rules: self.rules(policies))
      return Command(
        batch, reads, allocation: .onlyIf(Queue.allocateIfQueued, Parameters(), otherwise: none)
      ) { (found, draft) throws(OpsError) in
        if none.halt != nil { return none }
        var claim = none
        claim.steps = try self.lease(
          [try found[followers], try found[ready]], batch, to: worker, &draft)
        return claim
      }
    })
    var claim = committed.answer
    for index in claim.steps.indices { claim.steps[index].entry = committed.entry }
    return claim
  }

  private func lease(
    _ answers: [Rows], _ batch: Batch, to worker: String, _ draft: inout Draft
  ) throws(OpsError) -> [ClaimedStep] {
    var found: [QueuedStep] = []
    for rows in answers {
      try batch.noteFitting(rows, taken: QueuedStep.taken)
      var steps: [QueuedStep] = []
      for (index, id) in try rows.ids().enumerated() {
        let step = try batch.read(.step, id) { () throws(OpsError) in try QueuedStep(rows, index) }
        if let step { steps.append(step) }
      }
      found += steps.sorted { $0.due < $1.due }
    }
    for queued in found.prefix(batch.limit) where batch.enter(.step, queued.step.id) {
      try draft.load(queued.step, as: queued.step.id)
      try draft.load(queued.mission, as: queued.mission.id)
    }
    var claimed: [ClaimedStep] = []
    for queued in found.prefix(batch.limit) {
      batch.look(at: .step, queued.step.id)
      var step = try draft.claim(
        queued.step, worker: worker, leaseSeconds: leaseSeconds, cause: queued.cause)
      step.failedRuns = queued.failedRuns
      claimed.append(step)
    }
    return claimed
  }

  /// The executors that may run steps now; none if the policy is invalid.
  static func runnable(_ policy: Policies.Reading<WorkerPolicy>) -> [String] {
    if policy.error != nil { return [] }
    return Executors.names.filter { name in
      policy.value?.blockedExecutors.contains(name) != true
        && policy.value?.allowedExecutors?.contains(name) != false
    }.sorted()
  }

  /// The rules for recording outcomes.
  func rules(_ policies: Policies) -> WorkRules {
    WorkRules(
      attemptsMax: policies.worker.value?.attemptsMax ?? settings.attemptsMax,
      matrix: policies.matrix.value)
  }
}

/// The result of recording outcomes.
public struct Completion: Sendable {
  public var succeeded = 0
  public var failed = 0
  /// Outcomes that were not recorded, since another worker had the lease.
  public var refused: [(StepOutcome, OpsError)] = []
  /// Missions with steps that may now be able to run.
  public var open: Set<StreamID> = []
  /// The seconds until the first failed step that follows others may run again.
  var retrySeconds: Double?

  fileprivate mutating func count(_ step: Step?, at: Instant) {
    if step?.status == .succeeded {
      succeeded += 1
      return
    }
    failed += 1
    guard let step, step.status == .queued, step.needs?.isEmpty == false, let due = step.notBefore
    else { return }
    retrySeconds = min(retrySeconds ?? .infinity, due.seconds(since: at))
  }
}

extension Engine {
  /// Records the outcomes of steps that this worker holds, and their consequences. It refuses an outcome that comes too
  /// late, and records the others.
  public func complete(
    _ outcomes: [StepOutcome], _ lockWait: LockWait = .once
  ) throws(OpsError) -> Completion {
    func command(
      _ policies: Policies, _ rows: (inout Reads) -> OutcomeRows
    ) -> Command<Completion> {
      let rules = rules(policies)
      var reads = Reads()
      let rows = rows(&reads)
      var command = Command(reads) { (found, draft) throws(OpsError) -> Completion in
        var counts = try rows.load(found, &draft)
        var completion = Completion()
        for outcome in outcomes {
          do throws(OpsError) {
            var count = counts[outcome.missionID] ?? StepCounts(unfinished: 1, failed: 0)
            try draft.complete(outcome, rules: rules, counts: &count, cause: outcome.cause)
            counts[outcome.missionID] = count
            completion.count(draft.row(outcome.stepID, of: Step.self), at: draft.at)
          } catch {
            completion.refused.append((outcome, error))
          }
        }
        completion.open = Set(counts.lazy.filter { $0.value.unfinished > 0 }.map(\.key))
        return completion
      }
      command.lockWait = lockWait
      return command
    }
    let mayBeHeld = outcomes.allSatisfy { $0.held != nil && !$0.mayFail }
    return try perform(
      by: { (policies) in
        command(policies) { (reads) in
          mayBeHeld ? .held(outcomes, in: &reads) : .locked(outcomes, in: &reads)
        }
      },
      afterLostRace: { (policies) in
        command(policies) { (reads) in .locked(outcomes, in: &reads) }
      }
    ).answer
  }
}

/// The reads of the rows that outcomes change.
///
/// They lock missions before their steps, and both in the order of their ids, as every command does, so that commands
/// never wait in a circle. They count steps in a later statement, which sees what was committed before the locks.
private struct OutcomeRows {
  /// Loads the rows into the draft, and returns the counts of the missions' steps.
  let load: (Found, inout Draft) throws(OpsError) -> [StreamID: StepCounts]

  /// Locks and reads all rows.
  static func locked(_ outcomes: [StepOutcome], in reads: inout Reads) -> OutcomeRows {
    // If a step fails for good, the steps that follow it are skipped.
    let failing = Set(outcomes.filter(\.mayFail).map(\.missionID))
    let mission = Parameters { $0.uuids(Set(outcomes.map(\.missionID))) }
    let step = Parameters {
      $0.uuids(outcomes.map(\.stepID))
      $0.uuids(failing)
    }
    let missions = reads.add(Engine.lockMissions, mission)
    let steps = reads.add(Engine.lockSteps, step)
    let counts = reads.stepCounts(mission)
    let runs = reads.add(Engine.lockRuns, Parameters { $0.uuids(outcomes.map(\.token.runID)) })
    let radar = reads.add(Engine.lockRadar(outcomes))
    return OutcomeRows { (found, draft) throws(OpsError) in
      draft.loadReadable(try found[missions], \Mission.id)
      draft.loadReadable(try found[steps], \Step.id)
      draft.loadReadable(try found[runs], \Run.id)
      draft.loadReadable(try found[radar], \Radar.id)
      return try found[counts]
    }
  }

  /// Uses the steps and runs that the worker has in memory since their leases. It needs no lock or read of them: the
  /// updates name their versions, so nothing is written if somebody has changed them since. A step that may fail concerns
  /// other steps, so it is not recorded like this.
  static func held(_ outcomes: [StepOutcome], in reads: inout Reads) -> OutcomeRows {
    let mission = Parameters { $0.uuids(Set(outcomes.map(\.missionID))) }
    let missions = reads.add(Engine.lockMissions, mission)
    let counts = reads.stepCounts(mission)
    return OutcomeRows { (found, draft) throws(OpsError) in
      draft.loadReadable(try found[missions], \Mission.id)
      for held in outcomes.compactMap(\.held) {
        try draft.load(held.step, as: held.step.id)
        try draft.load(held.run, as: held.run.id)
      }
      return try found[counts]
    }
  }
}

extension Reads {
  fileprivate mutating func stepCounts(_ missions: Parameters) -> Read<[StreamID: StepCounts]> {
    add(Engine.countSteps, missions) { (rows) throws(OpsError) in try rows.stepCounts() }
  }
}

extension Engine {
  static let lockMissions = Statement.locking(Mission.self)
  fileprivate static let lockRuns = Statement.locking(Run.self)
  fileprivate static let lockSteps = Statement(
    """
    SELECT \(Step.select("s")) FROM (
      SELECT unnest($1::uuid[]) AS id UNION SELECT q.id
      FROM unnest($2::uuid[]) AS m(id) CROSS JOIN LATERAL (\(stepsOf("m.id"))) AS q
      WHERE q.status = 'queued') AS x JOIN public.ops_mission_steps AS s ON s.id = x.id
    ORDER BY s.id FOR NO KEY UPDATE OF s
    """)
  /// SQL for the steps of a mission. A plan with a condition on the status, made while few steps were queued, would begin
  /// with all queued steps; OFFSET keeps such conditions out.
  static func stepsOf(_ mission: String) -> String {
    "SELECT * FROM public.ops_mission_steps AS p WHERE p.mission_id = \(mission) OFFSET 0"
  }
  fileprivate static let countSteps = Statement(stepCounts(of: "= ANY ($1::uuid[])"))
  /// SQL for the columns of ``Postgres/Rows/stepCounts()``, for the missions that a condition names. Few missions have
  /// dead steps, so only these are searched for the first one.
  static func stepCounts(of missions: String) -> String {
    """
    SELECT c.mission_id, c.unfinished, c.failed, d.id, d.ordinal
    FROM (SELECT mission_id, count(*) FILTER (WHERE status IN ('queued', 'running')) AS unfinished,
        count(*) FILTER (WHERE status = 'failed') AS failed
      FROM public.ops_mission_steps WHERE mission_id \(missions) GROUP BY mission_id) AS c
      LEFT JOIN LATERAL (
        SELECT s.id, coalesce(s.ordinal, 0) AS ordinal FROM (\(stepsOf("c.mission_id"))) AS s
        WHERE c.failed > 0 AND s.status = 'failed' AND s.failure_count > 0
        ORDER BY s.ordinal, s.id LIMIT 1) AS d ON true
    """
  }

  private static let radarMax = 1000
  private static let findRadar = Statement(
    """
    SELECT \(Radar.select("r")) FROM public.ops_demand_radar AS r
    WHERE r.id = ANY ($1::uuid[]) OR r.title = ANY ($2::text[]) ORDER BY r.id FOR NO KEY UPDATE
    """)
  private static let listRadar = Statement(
    """
    SELECT \(Radar.select("r")) FROM public.ops_demand_radar AS r
    ORDER BY r.updated_at DESC, r.id LIMIT \(radarMax) FOR NO KEY UPDATE
    """)

  fileprivate static func lockRadar(_ outcomes: [StepOutcome]) -> (Statement, Parameters) {
    var (ids, titles, wantsAll) = ([StreamID](), [String](), false)
    for outcome in outcomes {
      guard case .radar(let command) = outcome.result else { continue }
      switch command {
      case .update(.id(let id), _): ids.append(id)
      case .update(.title(let title), _): titles.append(title)
      case .list: wantsAll = true
      case .add: break
      }
    }
    if wantsAll { return (Self.listRadar, Parameters()) }
    let parameters = Parameters {
      $0.uuids(ids)
      $0.texts(titles)
    }
    return (Self.findRadar, parameters)
  }
}

extension Draft {
  /// Loads the rows that can be read. The others stay as they are.
  mutating func loadReadable<R: Row>(_ rows: Rows, _ id: KeyPath<R, StreamID>) {
    for index in 0..<rows.count {
      guard let row = try? rows.row(index, of: R.self) else { continue }
      try? load(row, as: row[keyPath: id])
    }
  }
}

extension Rows {
  /// Reads `mission_id, unfinished, failed, dead step, its ordinal`.
  func stepCounts() throws(OpsError) -> [StreamID: StepCounts] {
    try dictionary { (row) throws(PostgresError) in
      let dead = try uuidIfPresent(row, 3).map { StreamID($0) }
      let ordinal = try int4IfPresent(row, 4) ?? 0
      return (
        StreamID(try uuid(row, 0)),
        StepCounts(
          unfinished: Int(try int8(row, 1)), failed: Int(try int8(row, 2)),
          dead: dead.map { StepCounts.DeadStep(id: $0, ordinal: ordinal) })
      )
    }
  }

  /// The entry that led to a row, if the log has it.
  func cause(_ row: Int, _ column: Int) throws(OpsError) -> Int64? {
    try onDatabase { () throws(PostgresError) in try int8IfPresent(row, column) }
  }
}

extension StepOutcome {
  fileprivate var mayFail: Bool {
    switch result {
    case .succeeded: false
    case .failed, .radar: true
    }
  }
}
