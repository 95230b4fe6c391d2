import JSON
public import Ledger
public import Log
import Postgres

/// What a worker came back with from one look at the queue.
public struct Claim: Sendable {
  public var steps: [ClaimedStep] = []
  /// Why the loop takes nothing, where it is halted.
  public var halt: String?
  public var rules: WorkRules
  /// Whether more could be claimed than a claim holds at once.
  public var hasLeftSome = false
}

/// Which of the steps that follow others a claim looks for. Those that follow none are in the order of an
/// index; of the others each has to be looked at.
public enum Following: Sendable {
  /// Of these missions, of which steps have just ended.
  case of([StreamID])
  case all
}

extension Engine {
  /// Leases queued steps that may run to a worker: first those that follow another, so that what is
  /// begun is finished, then the others, in the order in which they became due.
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
      var command = Command(
        reads, allocation: .onlyIf(Queue.allocateIfQueued, Parameters(), otherwise: none)
      ) { (found, draft) throws(OpsError) in
        if none.halt != nil { return none }
        return try batch.decide(&draft) { (draft) throws(OpsError) in
          var claim = none
          claim.steps = try self.lease(
            [try found[followers], try found[ready]], batch, to: worker, &draft)
          return claim
        }
      }
      command.lockWait = batch.lockWait
      return command
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
      for (index, id) in try rows.streamIDs().enumerated() {
        guard
          let step = try batch.read(
            .step, id,
            { () throws(OpsError) in
              try QueuedStep(rows, index)
            })
        else { continue }
        steps.append(step)
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

  /// The executors that may run steps now: none, where nobody can tell which are blocked.
  static func runnable(_ policy: Policies.Reading<WorkerPolicy>) -> [String] {
    if policy.error != nil { return [] }
    return Executors.names.filter { name in
      policy.value?.blockedExecutors.contains(name) != true
        && policy.value?.allowedExecutors?.contains(name) != false
    }.sorted()
  }

  /// The rules that outcomes are recorded under.
  func rules(_ policies: Policies) -> WorkRules {
    WorkRules(
      attemptsMax: policies.worker.value?.attemptsMax ?? settings.attemptsMax,
      matrix: policies.matrix.value)
  }
}

/// What became of outcomes that a worker recorded.
public struct Completion: Sendable {
  public var succeeded = 0
  public var failed = 0
  /// Outcomes that were not recorded, since the lease was another's by then.
  public var refused: [(StepOutcome, OpsError)] = []
  /// Missions with steps left, which may follow what has ended.
  public var open: Set<StreamID> = []
  /// Until the first of those that failed, and follow others, may be tried again.
  var retrySeconds: Double?
}

extension Completion {
  fileprivate mutating func note(_ failed: Step?, at: Instant) {
    guard let failed, failed.status == .queued, failed.needs?.isEmpty == false,
      let due = failed.notBefore
    else { return }
    retrySeconds = min(retrySeconds ?? .infinity, due.seconds(since: at))
  }
}

extension Engine {
  /// Records the outcomes of steps that this worker holds, and what follows from them. An outcome that
  /// comes too late is refused; the others are recorded.
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
            if draft.row(outcome.stepID, of: Step.self)?.status == .succeeded {
              completion.succeeded += 1
            } else {
              completion.failed += 1
              completion.note(draft.row(outcome.stepID, of: Step.self), at: draft.at)
            }
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

/// The rows that outcomes are recorded in, and where they come from.
///
/// Missions come before their steps, each in the order of ids: who follows that order never waits in a
/// circle. Steps are counted after the locks, in a statement of its own, or it would count what was
/// before them.
private struct OutcomeRows {
  /// What was loaded goes into the draft; the missions' steps, counted, come back.
  let load: (Found, inout Draft) throws(OpsError) -> [StreamID: StepCounts]

  /// All of them locked and read.
  static func locked(_ outcomes: [StepOutcome], in reads: inout Reads) -> OutcomeRows {
    // Where a step may fail for good, what follows it is skipped.
    let failing = Set(outcomes.filter(\.mayFail).map(\.missionID))
    var (mission, step, run) = (Parameters(), Parameters(), Parameters())
    mission.uuids(Set(outcomes.map(\.missionID)))
    step.uuids(outcomes.map(\.stepID))
    step.uuids(failing)
    run.uuids(outcomes.map(\.token.runID))
    let missions = reads.add(Engine.lockMissions, mission)
    let steps = reads.add(Engine.lockSteps, step)
    let counts = reads.stepCounts(mission)
    let runs = reads.add(Engine.lockRuns, run)
    let radar = reads.add(Engine.lockRadar(outcomes))
    return OutcomeRows { (found, draft) throws(OpsError) in
      draft.loadReadable(try found[missions], \Mission.id)
      draft.loadReadable(try found[steps], \Step.id)
      draft.loadReadable(try found[runs], \Run.id)
      draft.loadReadable(try found[radar], \Radar.id)
      return try found[counts]
    }
  }

  /// Steps and runs as their leases left them, where that is known of all: their UPDATEs name the versions
  /// of then, so nothing is written where anybody has changed them since, and neither lock nor read is
  /// needed. Not where a step may fail, which concerns others.
  static func held(_ outcomes: [StepOutcome], in reads: inout Reads) -> OutcomeRows {
    var mission = Parameters()
    mission.uuids(Set(outcomes.map(\.missionID)))
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

  mutating func add(_ read: (Statement, Parameters)) -> Read<Rows> { add(read.0, read.1) }
}

extension Engine {
  static let lockMissions = Statement(
    """
    SELECT \(Mission.select("m")) FROM public.ops_missions AS m WHERE m.id = ANY ($1::uuid[])
    ORDER BY m.id FOR NO KEY UPDATE
    """)
  static let lockSteps = Statement(
    """
    SELECT \(Step.select("s")) FROM (
      SELECT unnest($1::uuid[]) AS id UNION SELECT q.id
      FROM unnest($2::uuid[]) AS m(id) CROSS JOIN LATERAL (\(stepsOf("m.id"))) AS q
      WHERE q.status = 'queued') AS x JOIN public.ops_mission_steps AS s ON s.id = x.id
    ORDER BY s.id FOR NO KEY UPDATE OF s
    """)
  /// Never by their status: a plan that was made while few steps were queued would begin with all of those.
  static func stepsOf(_ mission: String) -> String {
    "SELECT * FROM public.ops_mission_steps AS p WHERE p.mission_id = \(mission) OFFSET 0"
  }
  static let countSteps = Statement(stepCounts(of: "= ANY ($1::uuid[])"))
  /// What ``Postgres/Rows/stepCounts()`` reads, of the missions that a condition names. Few missions have
  /// dead steps, and only those are looked into for the first.
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
  static let lockRuns = Statement(
    """
    SELECT \(Run.select("r")) FROM public.ops_action_runs AS r WHERE r.id = ANY ($1::uuid[])
    ORDER BY r.id FOR NO KEY UPDATE
    """)

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
    var parameters = Parameters()
    parameters.uuids(ids)
    parameters.texts(titles)
    return (Self.findRadar, parameters)
  }
}

extension Draft {
  /// Takes in the rows that a history can have led to. The others stay as they are; what comes of the rest is
  /// recorded.
  fileprivate mutating func loadReadable<R: Row>(_ rows: Rows, _ id: KeyPath<R, StreamID>) {
    for index in 0..<rows.count {
      guard let row = try? rows.row(index, of: R.self) else { continue }
      try? load(row, as: row[keyPath: id])
    }
  }
}

extension Rows {
  /// `mission_id, unfinished, failed, dead step, its ordinal`.
  func stepCounts() throws(OpsError) -> [StreamID: StepCounts] {
    var counts: [StreamID: StepCounts] = [:]
    do throws(PostgresError) {
      for row in 0..<count {
        let dead = try uuidIfPresent(row, 3).map { StreamID($0) }
        let ordinal = try int4IfPresent(row, 4) ?? 0
        counts[StreamID(try uuid(row, 0))] = StepCounts(
          unfinished: Int(try int8(row, 1)), failed: Int(try int8(row, 2)),
          dead: dead.map { StepCounts.DeadStep(id: $0, ordinal: ordinal) })
      }
    } catch {
      throw OpsError(database: error)
    }
    return counts
  }

  /// The entry that led to a row, where the log has it.
  func cause(_ row: Int, _ column: Int) throws(OpsError) -> Int64? {
    do { return try int8IfPresent(row, column) } catch { throw OpsError(database: error) }
  }
}

extension StepOutcome {
  var mayFail: Bool {
    switch result {
    case .succeeded: false
    case .failed, .radar: true
    }
  }
}
