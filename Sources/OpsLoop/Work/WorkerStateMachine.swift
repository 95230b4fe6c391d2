import Ledger

/// Decides each action of a worker: claim steps, run them, renew their leases while they run, record their outcomes.
///
/// It performs nothing and reads no clock: ``next(after:_:)`` takes the result of the last action and returns the next
/// action, which ``Worker`` performs. It keeps an outcome until the outcome is recorded, or cannot be recorded any more.
struct WorkerStateMachine: Sendable {
  /// The case of ``Event`` with the same meaning is the result of an action; ``Event/done`` if there is none.
  enum Action: Sendable {
    /// Listen for NOTIFY.
    case subscribe
    /// Write that this worker is there.
    case note(running: Int, claimed: Int)
    /// End the attempts of steps whose lease has expired, except these.
    case recover(but: [StreamID])
    case claim(limit: Int, Following)
    /// Ask when the next step that follows others is due. `elapsed` seconds ago this worker examined all of them.
    case findRetry(elapsed: Double)
    /// Run a step. A later ``collect(seconds:)`` returns its outcome.
    case start(ClaimedStep)
    /// Wait at most so long until steps have run.
    case collect(seconds: Double)
    /// Record outcomes in one entry: those of one claim, or one alone after the database refused its batch.
    case record([StepOutcome], isAlone: Bool)
    case renew([ClaimedStep])
    /// Quarantine a step.
    case quarantine(StreamID, OpsError)
    /// Ask whether there is a step for this worker.
    case look
    /// Wait at most so long for NOTIFY.
    case listen(seconds: Double)
    /// Send NOTIFY to other workers.
    case wake
    case pause(seconds: Double)
    case say(String)
  }

  /// The result of an action.
  enum Event: Sendable {
    /// The worker begins, or continues after ``failure``.
    case began
    case done
    case recovered(Int)
    case claimed(Claim)
    case retry(inSeconds: Double?)
    case finished([Finished])
    case recorded(Completion)
    case renewed([StreamID: Step.Token])
    case looked(QueueLook)
    case heard(Bool)
    case failed(OpsError)
  }

  /// A step that has run, named by its run: a step that was lost and claimed again has another run.
  struct Finished: Sendable {
    let run: StreamID
    let result: StepOutcome.Result
  }

  /// The state of the world at the moment of a decision.
  struct Reading: Sendable {
    /// The time of a clock that never goes back.
    var seconds: Double
    var isToldToStop: Bool
    var leaseSeconds: Double
    /// Whether a pooler keeps NOTIFY from this worker.
    var isPooled: Bool
  }

  private let options: Worker.Options
  private(set) var report = WorkerReport()
  /// The error that ends the worker.
  private(set) var failure: OpsError?

  private var reading = Reading(seconds: 0, isToldToStop: false, leaseSeconds: 0, isPooled: false)
  private var asked: (action: Action, seconds: Double)?
  /// Actions to return before the next decision.
  private var errands: [Action] = []
  /// Claimed steps by their runs, until their outcomes are recorded.
  private var held: [StreamID: Held] = [:]
  private var round = Round.heard
  /// Whether the worker ends while it holds steps, and continues with them at the next ``Event/began``.
  private var isSuspended = false

  /// Whether there may be a step to claim. If not, NOTIFY or a look makes it true again.
  private var isHopeful = true
  /// Missions in which steps have ended since the last claim, so that other steps may run now.
  private var ended: Set<StreamID> = []
  /// Empty claims in a row: others may have locked the steps that a look sees.
  private var disappointments = 0
  private var waiting: (until: Double, rank: Int)?
  private var notedAt = -Double.infinity
  private var recoveredAt = -Double.infinity
  private var fullLookAt = -Double.infinity
  /// When the next step that follows others is due, as far as this worker knows.
  private var nextRetry = Double.infinity
  /// When this worker examined all followers; nil once it knows which of them is due next.
  private var retryUnknownSince: Double?

  init(_ options: Worker.Options) { self.options = options }

  /// The stage of a round. The worker collects and records outcomes, and renews leases. Then it listens for NOTIFY, and
  /// claims once.
  private enum Round: Comparable { case collected, heard, claimed }

  private struct Held: Sendable {
    var claimed: ClaimedStep
    /// Its number among all steps that this worker claimed.
    let number: Int
    var renewAt: Double
    /// When others may claim the step.
    var leaseEnds: Double
    var isRenewedAlone = false
    /// Nil while the step runs.
    var outcome: Outcome?
  }

  private struct Outcome: Sendable {
    var result: StepOutcome.Result
    /// When to record it, or to try that again.
    var dueAt: Double
    var isAlone = false
    /// Failed attempts to record it alone.
    var tries = 0
    /// The attempts that failed for another reason than a lock.
    var refusals = 0
    var isLocked = false
  }

  private var now: Double { reading.seconds }
  private var isStopping: Bool { failure != nil || reading.isToldToStop }
  private var isLeaving: Bool { isStopping || !options.watch }

  // MARK: Deciding

  /// - Parameter event: The result of the last action.
  /// - Returns: Nil if the worker ends; ``failure`` has the reason.
  mutating func next(after event: Event, _ reading: Reading) -> Action? {
    self.reading = reading
    take(event)
    let action = decide()
    asked = action.map { ($0, now) }
    return action
  }

  /// The most urgent first.
  private mutating func decide() -> Action? {
    if !errands.isEmpty { return errands.removeFirst() }
    if isSuspended { return nil }
    if let action = wait() ?? record() ?? renew() ?? keepUp() { return action }
    if !held.isEmpty {
      round = .collected
      return .collect(seconds: 0.05)
    }
    return isLeaving ? nil : .look
  }

  private mutating func keepUp() -> Action? {
    if isStopping { return nil }
    return findRetry() ?? hear() ?? note() ?? recover() ?? claim()
  }

  private mutating func take(_ event: Event) {
    switch event {
    case .began:
      (failure, isSuspended) = (nil, false)
      if options.watch { errands.append(.subscribe) }
    case .done: break
    case .recovered(let count): if count > 0 { isHopeful = true }
    case .claimed(let claim): hold(claim)
    case .retry(let seconds): (nextRetry, retryUnknownSince) = (now + (seconds ?? .infinity), nil)
    case .finished(let finished):
      let dueAt = now
      for one in finished { held[one.run]?.outcome = Outcome(result: one.result, dueAt: dueAt) }
    case .recorded(let completion): letGo(completion)
    case .renewed(let tokens): keep(tokens)
    case .looked(let look): waitAfter(look)
    case .heard(let isWork): if isWork { hearOfWork() }
    case .failed(let error): fail(error)
    }
  }

  // MARK: Claiming

  private mutating func note() -> Action? {
    guard now - notedAt >= Presence.everySeconds else { return nil }
    notedAt = now
    return .note(running: held.count, claimed: report.claimed)
  }

  private mutating func recover() -> Action? {
    // While nothing runs here, a look tells when a lease has expired.
    guard isHopeful || !held.isEmpty, now - recoveredAt >= 1 else { return nil }
    recoveredAt = now
    // The steps of this worker are recorded, even after their leases have expired.
    return .recover(but: held.values.map(\.claimed.step.id))
  }

  private mutating func claim() -> Action? {
    let isDue = now - fullLookAt >= options.fullLookSeconds || now >= nextRetry
    if isDue { isHopeful = true }
    // A step whose outcome could not be recorded yet takes no room.
    let room = options.concurrency - held.values.count { ($0.outcome?.tries ?? 0) == 0 }
    guard isHopeful, room > 0, round < .claimed || held.isEmpty else { return nil }
    round = .claimed
    // The last claim before the worker ends is a full one.
    let isFull = isDue || held.isEmpty && ended.isEmpty
    return .claim(limit: room, isFull ? .all : .of(Array(ended)))
  }

  private mutating func hold(_ claim: Claim) {
    guard case (.claim(let room, let following), let askedAt)? = asked else { return }
    let isFull = if case .all = following { true } else { false }
    disappointments = claim.steps.isEmpty ? disappointments + 1 : 0
    if claim.steps.count(where: { $0.step.needs?.isEmpty == false }) < room { ended = [] }
    if claim.steps.count < room {
      // There may be steps that the claim did not ask for: the next look tells.
      isHopeful =
        claim.hasLeftSome || !isFull && claim.halt == nil && held.isEmpty && claim.steps.isEmpty
      if isFull {
        fullLookAt = askedAt
        if nextRetry <= askedAt { nextRetry = .infinity }
        if options.watch { retryUnknownSince = askedAt }
      }
    }
    report.halt = claim.halt
    for step in claim.steps {
      held[step.token.runID] = Held(
        claimed: step, number: report.claimed, renewAt: askedAt + reading.leaseSeconds / 3,
        leaseEnds: askedAt + reading.leaseSeconds)
      report.claimed += 1
      errands.append(.start(step))
    }
  }

  private func findRetry() -> Action? {
    retryUnknownSince.map { .findRetry(elapsed: now - $0) }
  }

  // MARK: Recording

  /// Records the outcomes of one claim together, and alone those that could not be recorded like that.
  private func record() -> Action? {
    let due = held.values.compactMap { held in
      held.outcome.flatMap { $0.dueAt <= now ? (held: held, outcome: $0) : nil }
    }.sorted { $0.held.number < $1.held.number }
    guard let first = due.first(where: { !$0.outcome.isAlone }) ?? due.first else { return nil }
    let isAlone = first.outcome.isAlone
    let group =
      isAlone
      ? [first]
      : due.filter { !$0.outcome.isAlone && $0.held.claimed.entry == first.held.claimed.entry }
    return .record(
      group.map { StepOutcome($0.held.claimed, $0.outcome.result) }, isAlone: isAlone)
  }

  private mutating func letGo(_ completion: Completion) {
    guard case .record(let outcomes, _)? = asked?.action else { return }
    for outcome in outcomes { held[outcome.token.runID] = nil }
    for (outcome, error) in completion.refused {
      errands.append(.say("step \(outcome.stepID): \(error)"))
    }
    report.refused += completion.refused.count
    report.succeeded += completion.succeeded
    report.failed += completion.failed
    ended.formUnion(completion.open)
    nextRetry = min(nextRetry, now + (completion.retrySeconds ?? .infinity))
    // If no step can follow, a look costs less than a claim.
    if !ended.isEmpty || !options.watch { isHopeful = true }
    // This worker claims no more steps, but others may.
    if reading.isToldToStop { errands.append(.wake) }
  }

  /// How often a worker that leaves tries again to record an outcome that the database refuses for another reason than a
  /// lock.
  private static let refusalsMax = 3

  /// Puts off an outcome that could not be recorded alone.
  private mutating func postpone(_ run: StreamID, after error: OpsError) {
    guard let lease = held[run], var outcome = lease.outcome else { return }
    errands.append(.quarantine(lease.claimed.step.id, error))
    let isForGood =
      isLeaving && !error.isLockTimeout && outcome.refusals >= Self.refusalsMax
      || now > lease.leaseEnds && (isLeaving || !error.isLockTimeout)
    outcome.dueAt = now + min(0.1 * Double(1 << min(outcome.tries, 6)), 1)
    outcome.tries += 1
    outcome.isLocked = error.isLockTimeout
    if !outcome.isLocked { outcome.refusals += 1 }
    if let failed = outcome.result.refused(by: error) {
      (outcome.result, outcome.dueAt) = (failed, now)
    } else if isForGood {
      return giveUp(run, error)
    }
    held[run]?.outcome = outcome
  }

  private mutating func giveUp(_ run: StreamID, _ error: OpsError) {
    guard let lease = held.removeValue(forKey: run) else { return }
    report.refused += 1
    errands.append(
      .say(
        "step \(lease.claimed.step.id): the outcome could not be recorded, so the step runs again after its "
          + "lease: \(error)"))
  }

  // MARK: Renewing

  /// Renews a lease after a third of its time, while the step runs or a lock keeps its outcome from being recorded.
  private func renew() -> Action? {
    let due = held.values.filter {
      $0.renewAt <= now && ($0.outcome == nil || $0.outcome?.isLocked == true)
    }
    let group = due.filter { !$0.isRenewedAlone }
    if !group.isEmpty { return .renew(group.map(\.claimed)) }
    return due.first.map { .renew([$0.claimed]) }
  }

  private mutating func keep(_ tokens: [StreamID: Step.Token]) {
    guard case (.renew(let steps), let askedAt)? = asked else { return }
    let leaseSeconds = reading.leaseSeconds
    for step in steps {
      let run = step.token.runID
      if let token = tokens[step.step.id], token.runID == run {
        held[run]?.claimed.token = token
        held[run]?.isRenewedAlone = false
        held[run]?.renewAt = askedAt + leaseSeconds / 3
        if held[run]?.outcome == nil { held[run]?.leaseEnds = askedAt + leaseSeconds }
      } else {
        // Lost, or locked by another transaction at this moment.
        held[run]?.renewAt = askedAt + min(1, leaseSeconds / 3)
      }
    }
  }

  // MARK: Failures

  private mutating func fail(_ error: OpsError) {
    guard error.isOfARow else { return stop(error) }
    switch asked?.action {
    case .record(let outcomes, isAlone: false):
      // The outcome that causes the error is found one by one.
      for outcome in outcomes { held[outcome.token.runID]?.outcome?.isAlone = true }
    case .record(let outcomes, isAlone: true):
      for outcome in outcomes { postpone(outcome.token.runID, after: error) }
    case .renew(let steps):
      let renewAt = now + reading.leaseSeconds / 3
      for step in steps {
        let run = step.token.runID
        if held[run]?.isRenewedAlone == true {
          errands.append(.quarantine(step.step.id, error))
          held[run]?.renewAt = renewAt
        }
        held[run]?.isRenewedAlone = true
      }
    case .subscribe, .note, .recover, .claim, .findRetry, .start, .collect, .quarantine, .look,
      .listen, .wake, .pause, .say, nil:
      stop(error)
    }
  }

  /// Ends the worker after it has recorded the outcomes. If the database is unreachable, a worker that watches ends at
  /// once and keeps its steps: it is called again when the database is back.
  private mutating func stop(_ error: OpsError) {
    isSuspended = options.watch && error.code == .databaseUnreachable && !isStopping
    if failure == nil {
      failure = error
      if !isSuspended, !held.isEmpty {
        errands.append(.say("the worker records its outcomes and ends: \(error)"))
      }
    }
    if isSuspended || held.isEmpty { return }
    // After the lease, another worker may have the step.
    for (run, lease) in held where lease.leaseEnds < now { giveUp(run, error) }
    errands.append(.pause(seconds: 0.1))
  }

  // MARK: Waiting

  private static let pooledLookSeconds = 0.25
  private static let rankMax = 8
  private static let turnSeconds = 0.01

  private mutating func waitAfter(_ look: QueueLook) {
    let secondsMax = reading.isPooled ? Self.pooledLookSeconds : options.lookSeconds
    var seconds = min(max(min(look.seconds ?? .infinity, nextRetry - now), 0.02), secondsMax)
    if look.isClaimable && report.halt == nil || look.isLeaseExpired {
      isHopeful = true
      if disappointments == 0 {
        recoveredAt = -.infinity
        return
      }
      seconds = min(0.05 * Double(1 << min(disappointments, 6)), secondsMax)
    }
    waiting = (now + seconds, look.rank)
  }

  private mutating func wait() -> Action? {
    if let waiting, !isStopping, waiting.until > now {
      // A signal does not end a wait, so it is short.
      return .listen(seconds: min(waiting.until - now, 0.2))
    }
    waiting = nil
    return nil
  }

  private mutating func hear() -> Action? {
    guard options.watch, !isHopeful, round < .heard else { return nil }
    round = .heard
    return .listen(seconds: 0)
  }

  /// NOTIFY wakes all workers, but mostly one of them can claim all steps. So the first claims at once, and the others
  /// look later, in turn, whether any are left.
  private mutating func hearOfWork() {
    let rank = waiting?.rank ?? 0
    waiting = nil
    if rank == 0 {
      isHopeful = true
    } else {
      errands.append(.pause(seconds: Double(min(rank, Self.rankMax)) * Self.turnSeconds))
    }
  }
}

extension StepOutcome.Result {
  /// The failed attempt to record in place of an outcome whose content the database refuses; nil if the reason is another
  /// one, or the outcome is such a failed attempt already.
  fileprivate func refused(by error: OpsError) -> StepOutcome.Result? {
    if case .failed(.refused, _, _) = self { return nil }
    guard let fault = error.database, ![.rollback, .state].contains(fault.errorClass),
      [.conflict, .badInput, .schemaMismatch].contains(error.code)
    else { return nil }
    return .failed(.refused, error: "the outcome cannot be recorded: \(error)", result: nil)
  }
}
