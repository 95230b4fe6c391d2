public import JSON

/// A step that a worker has claimed.
public struct ClaimedStep: Sendable {
  public var step: Step
  public var token: Step.Token
  /// The version that the claim gave the step. Each attempt has another one, and a renewal does not change it.
  public var attempt: Int32
  /// The number of its runs that have failed, also before a manual retry. It is counted only if its params need it.
  public var failedRuns = 0
  /// The run that the claim made; nil if the claim's answer was lost.
  public var run: Run?
  /// The entry of the claim, which is the cause of the outcome's events.
  public var entry: Int64?

  public init(step: Step, token: Step.Token, attempt: Int32, failedRuns: Int = 0) {
    self.step = step
    self.token = token
    self.attempt = attempt
    self.failedRuns = failedRuns
  }
}

/// A worker's report on a step that it ran.
public struct StepOutcome: Sendable {
  public enum Result: Sendable {
    /// `reads`: the rows whose content the result copies. An erasure of such a row also erases the result.
    case succeeded(String?, reads: [StreamID] = [])
    case failed(Step.FailureClass, error: String, result: String?)
    /// A change of the radar. It is in the same entry as the step's outcome, so it happens once.
    case radar(Radar.Command)
  }

  public var stepID: StreamID
  public var missionID: StreamID
  public var token: Step.Token
  public var attempt: Int32
  public var result: Result
  public var cause: Int64?
  /// Step and run after the lease. They are current unless somebody else has changed them.
  public var held: (step: Step, run: Run)?

  public init(_ claimed: ClaimedStep, _ result: Result) {
    stepID = claimed.step.id
    missionID = claimed.step.missionID
    token = claimed.token
    attempt = claimed.attempt
    cause = claimed.entry
    self.result = result
    // A renewal has changed the step since.
    if claimed.step.version == token.version, let run = claimed.run {
      held = (claimed.step, run)
    }
  }
}

/// The numbers of a mission's steps by state, before a command finishes one of them.
public struct StepCounts: Equatable, Sendable {
  /// The first dead step of the mission, in its order.
  public struct DeadStep: Equatable, Sendable {
    public var id: StreamID
    public var ordinal: Int32

    public init(id: StreamID, ordinal: Int32) {
      self.id = id
      self.ordinal = ordinal
    }
  }

  public var unfinished: Int
  public var failed: Int
  public var dead: DeadStep?

  public init(unfinished: Int, failed: Int, dead: DeadStep? = nil) {
    self.unfinished = unfinished
    self.failed = failed
    self.dead = dead
  }
}

/// The rules for work.
public struct WorkRules: Sendable {
  /// The limit of attempts for a step without its own limit.
  public var attemptsMax: Int32
  /// For the loop's own agent events.
  public var matrix: ReactionMatrix?

  public init(attemptsMax: Int32, matrix: ReactionMatrix?) {
    self.attemptsMax = attemptsMax
    self.matrix = matrix
  }

  func attemptsMax(of step: Step) -> Int32 { step.maxRetries ?? attemptsMax }
}

extension Draft {
  /// Leases one step to a worker and starts its run. The first claim of a mission starts the mission.
  ///
  /// - Throws: `OPS_006` if the step is not queued, `OPS_016` if its row fits no state.
  public mutating func claim(
    _ step: Step, worker: String, leaseSeconds: Double, cause: Int64?
  ) throws(OpsError) -> ClaimedStep {
    let run = newID()
    let lease = Step.Lease(
      worker: worker, runID: run, expiresAt: at.adding(seconds: leaseSeconds))
    for event in try Step.decide(.lease(lease), given: step) {
      append(event, of: Step.self, to: step.id, cause: cause)
    }
    let leased = row(step.id, of: Step.self) ?? step
    append(
      .started(
        step: step.id, attempt: leased.version, kind: step.kind, executor: step.executor,
        runID: avoidsTakenKeys ? free("\(step.id)-\(leased.version)") : nil),
      of: Run.self, to: run)
    switch row(step.missionID, of: Mission.self)?.status {
    case .approved: append(.started, of: Mission.self, to: step.missionID)
    case .failed: append(.reopened(step: step.id), of: Mission.self, to: step.missionID)
    case .running, .succeeded, nil: break
    }
    var claimed = ClaimedStep(
      step: leased, token: Step.Token(version: leased.version, runID: run),
      attempt: leased.version)
    claimed.run = row(run, of: Run.self)
    return claimed
  }

  /// Records the outcome of a step, if the caller holds its lease. The last step finishes the mission.
  ///
  /// - Parameter counts: The mission's steps. This call updates it.
  /// - Throws: `OPS_006` if the caller has lost the lease, or `OPS_016`. Nothing is recorded then.
  public mutating func complete(
    _ outcome: StepOutcome, rules: WorkRules, counts: inout StepCounts, cause: Int64?
  ) throws(OpsError) {
    guard let step = row(outcome.stepID, of: Step.self) else {
      throw OpsError(
        .claimLost, "step \(outcome.stepID) does not exist any more; its outcome was not recorded",
        hint: "see `opsledger log show --stream \(outcome.stepID)`",
        facts: ["step_id": outcome.stepID.description])
    }
    guard let run = row(outcome.token.runID, of: Run.self), run.status == .started else {
      throw .claimLost(step)
    }
    switch outcome.result {
    case .succeeded(let result, let reads):
      try succeed(step, outcome, result, reads, rules, &counts, cause)
    case .failed(let failureClass, let error, let result):
      try fail(step, outcome, failureClass, error, result, rules, &counts, cause)
    case .radar(let command):
      // Checks the lease before the radar changes.
      _ = try Step.decide(.succeed(outcome.token, result: nil), given: step)
      do {
        let (result, reads) = try change(radar: command)
        try succeed(step, outcome, result, reads, rules, &counts, cause)
      } catch  where error.code != .claimLost {
        try fail(step, outcome, .refused, error.description, nil, rules, &counts, cause)
      }
    }
  }

  private mutating func succeed(
    _ step: Step, _ outcome: StepOutcome, _ result: String?, _ reads: [StreamID],
    _ rules: WorkRules, _ counts: inout StepCounts, _ cause: Int64?
  ) throws(OpsError) {
    let command = Step.Command.succeed(outcome.token, result: result, reads: reads)
    for event in try Step.decide(command, given: step) {
      append(event, of: Step.self, to: step.id, cause: cause)
    }
    append(.succeeded, of: Run.self, to: outcome.token.runID, cause: cause)
    report(
      own: .of(step, "succeeded", attempt: outcome.attempt, result: result, error: nil),
      rules.matrix)
    counts.unfinished -= 1
    if counts.unfinished == 0 { finish(step.missionID, counts, rules) }
  }

  /// Ends a mission after its last step. A reopened mission fails again if another of its steps is still dead.
  private mutating func finish(_ id: StreamID, _ counts: StepCounts, _ rules: WorkRules) {
    guard let mission = row(id, of: Mission.self), mission.isOpen else { return }
    if counts.failed == 0 {
      append(.succeeded, of: Mission.self, to: id)
      reportMission(id, "succeeded", error: nil, rules)
    } else if let dead = counts.dead {
      append(.failed(step: dead.id), of: Mission.self, to: id)
      reportMission(id, "failed", error: "step \(dead.ordinal) is dead still", rules)
    }
  }

  private mutating func fail(
    _ step: Step, _ outcome: StepOutcome, _ failureClass: Step.FailureClass, _ error: String,
    _ result: String?, _ rules: WorkRules, _ counts: inout StepCounts, _ cause: Int64?
  ) throws(OpsError) {
    if case .inconsistent(let why) = step.phase { throw .inconsistent(step, why) }
    let wait = Step.backoffMilliseconds(afterFailures: step.failureCount + 1, draw: ids.draw())
    let attempt = Step.Attempt(
      failureClass: failureClass, error: error, result: result,
      attemptsMax: rules.attemptsMax(of: step), notBefore: at.adding(milliseconds: wait))
    let events = try Step.decide(.fail(outcome.token, attempt), given: step)
    failed(
      step, events, run: outcome.token.runID, failureClass, error, attempt: outcome.attempt, rules,
      &counts, cause)
  }

  /// Recovers a step whose lease has ended: the attempt failed, and the next one may begin at once.
  ///
  /// - Parameter run: Its run, if it has not ended.
  public mutating func recover(
    _ step: Step, run: Run?, rules: WorkRules, counts: inout StepCounts
  ) throws(OpsError) {
    let events = try Step.decide(
      .expire(runID: run?.id, attemptsMax: rules.attemptsMax(of: step)), given: step)
    failed(
      step, events, run: run?.id, .leaseExpired, "Lease expired", attempt: step.version, rules,
      &counts, nil)
  }

  /// Records a failed attempt and the end of its run. After the last attempt, the mission fails.
  private mutating func failed(
    _ step: Step, _ events: [Step.Event], run: StreamID?, _ failureClass: Step.FailureClass,
    _ error: String, attempt: Int32, _ rules: WorkRules, _ counts: inout StepCounts,
    _ cause: Int64?
  ) {
    for event in events { append(event, of: Step.self, to: step.id, cause: cause) }
    let isDead = events.contains { $0.kind == .deadLettered }
    if let run {
      append(
        .failed(failureClass, retrying: !isDead, error: error), of: Run.self, to: run,
        cause: cause)
    }
    guard isDead else { return skipIfMissionFailed(step, &counts) }
    counts.unfinished -= 1
    counts.failed += 1
    if counts.dead == nil { counts.dead = .init(id: step.id, ordinal: step.ordinal ?? 0) }
    report(own: .of(step, "failed", attempt: attempt, result: nil, error: error), rules.matrix)
    failMission(of: step, error, rules, &counts)
  }

  /// Skips a step that waits for its next attempt if its mission has failed. If the mission's dead step is queued
  /// again, the step stays queued, since nothing would queue it later.
  private mutating func skipIfMissionFailed(_ step: Step, _ counts: inout StepCounts) {
    guard row(step.missionID, of: Mission.self)?.status == .failed, let dead = counts.dead else {
      return
    }
    append(.skipped(becauseOf: dead.ordinal), of: Step.self, to: step.id)
    counts.unfinished -= 1
    counts.failed += 1
  }

  /// Skips the queued steps of a mission, and fails it.
  mutating func failMission(
    of step: Step, _ error: String, _ rules: WorkRules, _ counts: inout StepCounts
  ) {
    for (id, other) in steps.rows
    where other.missionID == step.missionID && other.phase == .queued {
      append(.skipped(becauseOf: step.ordinal ?? 0), of: Step.self, to: id)
      counts.unfinished -= 1
      counts.failed += 1
    }
    guard let mission = row(step.missionID, of: Mission.self), mission.isOpen else { return }
    append(.failed(step: step.id), of: Mission.self, to: step.missionID)
    reportMission(step.missionID, "failed", error: error, rules)
  }

  mutating func reportMission(
    _ id: StreamID, _ outcome: String, error: String?, _ rules: WorkRules
  ) {
    guard let mission = row(id, of: Mission.self) else { return }
    var data: [String: JSON] = [
      "mission_id": .string(id.description),
      "proposal_id": .optional(mission.proposalID?.description),
    ]
    if let error { data["error"] = .string(error) }
    report(
      own: AgentEvent.Report(
        type: "mission:\(outcome)", data: JSON.object(data).text,
        dedupeKey: "\(id):\(outcome):\(mission.version)", missionID: id),
      rules.matrix)
  }

  /// - Returns: The step's result, which is the item or the items; and the items that existed before the step.
  private mutating func change(
    radar command: Radar.Command
  ) throws(OpsError) -> (result: String, reads: [StreamID]) {
    switch command {
    case .add(let fields):
      let id = newID()
      append(.added(fields), of: Radar.self, to: id)
      return (row(id, of: Radar.self)?.json.text ?? "null", [])
    case .update(let target, let fields):
      let item = try find(target)
      for event in try Radar.decideUpdate(fields, given: item) {
        append(event, of: Radar.self, to: item.id)
      }
      return (row(item.id, of: Radar.self)?.json.text ?? "null", [item.id])
    case .list:
      let newestFirst = radar.rows.map(\.row).sorted { $0.updatedAt > $1.updatedAt }
      return (JSON.array(newestFirst.map(\.json)).text, newestFirst.map(\.id))
    }
  }

  private func find(_ target: Radar.Command.Target) throws(OpsError) -> Radar {
    let found =
      switch target {
      case .id(let id): radar.rows.filter { $0.stream == id }
      case .title(let title): radar.rows.filter { $0.row.title == title }
      }
    guard let item = found.first else {
      let named =
        switch target {
        case .id(let id): "id \(id)"
        case .title(let title): "title \(title)"
        }
      throw OpsError(
        .notFound, "the radar has no item with \(named)", hint: "see `opsledger radar list`")
    }
    guard found.count == 1 else {
      throw OpsError(
        .conflict, "\(found.count) radar items have the title \(item.row.title)",
        hint: "name the item by its id: see `opsledger radar list`")
    }
    return item.row
  }
}

extension Mission {
  /// Whether it may still end.
  public var isOpen: Bool { status == .approved || status == .running }
}

extension AgentEvent.Report {
  static func of(
    _ step: Step, _ outcome: String, attempt: Int32, result: String?, error: String?
  ) -> AgentEvent.Report {
    var data = JSONObjectWriter()
    data.string("kind", step.kind)
    if let error { data.string("error", error) }
    if let result { data.raw("result", result) }
    data.string("step_id", step.id.description)
    return AgentEvent.Report(
      type: "step:\(step.kind):\(outcome)", data: data.finish(),
      dedupeKey: "\(step.id):\(outcome):\(attempt)", missionID: step.missionID)
  }
}

extension Radar {
  /// The row in the form of a step's result.
  public var json: JSON {
    .object([
      "id": .string(id.description), "title": .string(title), "description": .optional(description),
      "stage": .string(stage.rawValue), "notes": .optional(notes),
      "created_at": .string(createdAt.description), "updated_at": .string(updatedAt.description),
    ])
  }
}
