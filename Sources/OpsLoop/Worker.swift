import Glibc
import JSON
public import Ledger
import Log
import Postgres
import Threads

/// What a worker did until it ended.
public struct WorkerReport: Equatable, Sendable {
  public var claimed = 0
  public var succeeded = 0
  public var failed = 0
  /// Outcomes that came too late, since the lease was another's, or could not be recorded until then.
  public var refused = 0
  /// Why nothing was taken, where the loop is halted.
  public var halt: String?
  /// Why queued steps may not run, where some are left.
  public var waiting: WaitingSteps?
}

/// Steps that are queued and may not run now, each counted once, by the first reason that holds.
public struct WaitingSteps: Equatable, Sendable {
  public var queued = 0
  public var missionClosed = 0
  public var behindAnother = 0
  /// Whose executor is paused, or not one of ours, by its name.
  public var executors: [String: Int] = [:]
  public var notBefore = 0
  /// The next moment at which one of those may run.
  public var nextAt: Instant?
  /// Whom nothing keeps: queued since this worker looked, or held by another at that moment.
  public var claimable = 0
}

/// Claims steps, runs them, renews their leases while they run, and records what came of them.
public final class Worker {
  public struct Options: Sendable {
    public var name: String
    public var host = ""
    public var pid: Int32 = 0
    /// Steps that run at the same time, at most.
    public var concurrency = 50
    /// Go on when nothing is claimable.
    public var watch = false
    /// How long to wait at most for somebody to say that there is work, before looking.
    public var lookSeconds = 2.0
    /// How often to look at what a look passes over: steps that follow others, in missions that this
    /// worker had no part in, and policies that a hand changed.
    public var fullLookSeconds = 10.0

    public init(name: String) { self.name = name }
  }

  private let engine: Engine
  private let options: Options
  private let shouldStop: @Sendable () -> Bool
  private let report: @Sendable (String) -> Void
  /// On their way from the threads that ran them.
  private let finished = BoundedQueue<Finished>()
  private var running: [StreamID: Held] = [:]
  private var result = WorkerReport()
  /// Whether there may be something to claim; not before somebody says so, or a look.
  private var isHopeful = true
  /// Missions of which steps have ended since the last claim: what follows them may run now.
  private var ended: Set<StreamID> = []
  /// Claims in a row that gave nothing: what a look sees, others may hold.
  private var disappointments = 0
  private var lastRecovery = -1.0
  private var lastFullLook = -Double.infinity
  /// When a step that follows others may be tried again, as far as this worker knows.
  private var nextRetry = Double.infinity
  private var presence: Presence
  private var isNoteWritten = false

  private struct Finished: Sendable {
    let step: StreamID
    let result: StepOutcome.Result
  }

  private struct Held {
    var step: ClaimedStep
    var renewAt: Double
    /// When others may take it; once it has run, how long its outcome is tried to be recorded where nothing but
    /// a lock is in the way.
    var leaseEnds: Double
    /// What came of it, from the moment at which it has run.
    var result: StepOutcome.Result?
    /// How often its outcome could not be recorded, and when that is tried again.
    var refusals = 0
    var recordAt = 0.0
    var isLocked = false

    var outcome: StepOutcome? { result.map { StepOutcome(step, $0) } }
  }

  /// - Parameters:
  ///   - shouldStop: Asked between steps; when it says so, running steps are finished and no others
  ///     are claimed.
  ///   - report: Told of outcomes that were refused, a line each.
  public init(
    _ engine: Engine, _ options: Options, shouldStop: @escaping @Sendable () -> Bool,
    report: @escaping @Sendable (String) -> Void
  ) {
    self.engine = engine
    self.options = options
    self.shouldStop = shouldStop
    self.report = report
    presence = Presence(options)
  }

  /// Works until nothing is claimable, or for ever where it watches, or until it is told to stop. For
  /// whatever reason it leaves, what it has executed is recorded first, as long as its leases last.
  ///
  /// - Throws: Where the database is out of reach of a worker that watches, what runs goes on, and the next
  ///   call records it.
  public func run() throws(OpsError) -> WorkerReport {
    defer { leave() }
    if options.watch { try engine.session.listen(to: Queue.channel) }
    var failure: OpsError?
    while true {
      let isStopping = failure != nil || shouldStop()
      do throws(OpsError) {
        if !isStopping {
          note()
          try take()
        }
        if running.isEmpty {
          if isStopping { break }
          if isHopeful { continue }
          if !options.watch { break }
          try wait()
          continue
        }
        // What is ready together is recorded together.
        for done in finished.takeAll(withinSeconds: 0.05) {
          running[done.step]?.result = done.result
        }
        try record(isLeaving: isStopping || !options.watch)
        try renew()
        if options.watch, !isHopeful, !isStopping {
          isHopeful = try engine.session.hears(withinMillis: 0)
        }
      } catch {
        let isPatient = options.watch && error.code == .databaseUnreachable && !shouldStop()
        if isPatient || running.isEmpty { throw failure ?? error }
        if failure == nil {
          failure = error
          report("records what has run, and ends then: \(error)")
        }
        giveUp(error)
        usleep(100_000)
      }
    }
    if let failure { throw failure }
    result.waiting = try engine.waitingSteps()
    return result
  }

  private func note() {
    for passed in engine.takePassedOver() { report(passed.description) }
    let isDue = presence.note(engine, running: running.count, claimed: result.claimed)
    if isDue { writePassedOver() }
  }

  /// Nothing depends on it.
  private func writePassedOver() {
    if engine.passedOver.isEmpty, !isNoteWritten { return }
    isNoteWritten = !engine.passedOver.isEmpty
    try? engine.notePassedOver(as: options.name)
  }

  private func leave() {
    for passed in engine.takePassedOver() { report(passed.description) }
    writePassedOver()
    presence.leave(engine)
  }

  // MARK: Claiming

  private func take() throws(OpsError) {
    try recover()
    let now = monotonicSeconds()
    let isDue = now - lastFullLook >= options.fullLookSeconds || now >= nextRetry
    if isDue { isHopeful = true }
    // Who only waits for its outcome to be recorded takes no room.
    let room = options.concurrency - running.values.count { $0.refusals == 0 }
    guard isHopeful, room > 0 else { return }
    // The last look before it ends is a full one: it has nothing running that could tell it more.
    let isFull = isDue || running.isEmpty && ended.isEmpty
    let claim = try engine.claim(
      room, worker: options.name, following: isFull ? .all : .of(Array(ended)))
    result.halt = claim.halt
    result.claimed += claim.steps.count
    disappointments = claim.steps.isEmpty ? disappointments + 1 : 0
    if claim.steps.count(where: { $0.step.needs?.isEmpty == false }) < room { ended = [] }
    if claim.steps.count < room {
      // What it had not asked for may be there still: the next look tells.
      isHopeful =
        claim.hasLeftSome || !isFull && claim.halt == nil && running.isEmpty && claim.steps.isEmpty
      if isFull { lastFullLook = now }
    }
    for step in claim.steps {
      running[step.step.id] = Held(
        step: step, renewAt: now + engine.leaseSeconds / 3, leaseEnds: now + engine.leaseSeconds)
      start(step)
    }
    if isFull, claim.steps.count < room, options.watch {
      let retry = try engine.secondsUntilRetry(elapsed: monotonicSeconds() - now)
      nextRetry = monotonicSeconds() + (retry ?? .infinity)
    }
  }

  private func recover() throws(OpsError) {
    let now = monotonicSeconds()
    // While nothing runs here, a look says when a lease has ended.
    guard isHopeful || !running.isEmpty, now - lastRecovery >= 1 else { return }
    lastRecovery = now
    // What has run here is recorded, and not taken back from ourselves.
    if try engine.recoverLeases(but: Array(running.keys)).total > 0 { isHopeful = true }
  }

  private func start(_ claimed: ClaimedStep) {
    if Executors.isInstant(claimed.step) {
      finished.put(Finished(step: claimed.step.id, result: Executors.run(claimed)))
      return
    }
    // A thread each: a queue has no more threads than the machine has cores, and steps mostly wait.
    runOnThread { [finished] in
      finished.put(Finished(step: claimed.step.id, result: Executors.run(claimed)))
    }
  }

  // MARK: Recording

  /// Records what is finished: together what was claimed together, and by itself what could not be recorded
  /// before.
  private func record(isLeaving: Bool) throws(OpsError) {
    let now = monotonicSeconds()
    let due = running.values.filter { $0.result != nil && $0.recordAt <= now }
    if due.isEmpty { return }
    for group in Dictionary(grouping: due.filter { $0.refusals == 0 }, by: \.step.entry).values {
      do throws(OpsError) { try record(group, .once) } catch {
        guard error.isOfARow else { throw error }
        // Whose fault it was is found out one by one.
        for held in group { try recordAlone(held, isLeaving: isLeaving) }
      }
    }
    for held in due where held.refusals > 0 { try recordAlone(held, isLeaving: isLeaving) }
  }

  private func record(_ group: [Held], _ lockWait: LockWait) throws(OpsError) {
    let completion = try engine.complete(group.compactMap(\.outcome), lockWait)
    for held in group {
      running[held.step.step.id] = nil
      engine.passedOver.remove(held.step.step.id)
    }
    for (outcome, error) in completion.refused { report("step \(outcome.stepID): \(error)") }
    result.refused += completion.refused.count
    result.succeeded += completion.succeeded
    result.failed += completion.failed
    ended.formUnion(completion.open)
    nextRetry = min(nextRetry, monotonicSeconds() + (completion.retrySeconds ?? .infinity))
    // Where nothing may follow, a look tells whether there is more, for less than a claim.
    if !ended.isEmpty || !options.watch { isHopeful = true }
    // It will not take what follows: somebody else may.
    if shouldStop() { engine.wake() }
  }

  /// How often a worker that leaves tries to record what the database refuses, and no lock is in the way of.
  private static let refusalsMax = 3

  private func recordAlone(_ held: Held, isLeaving: Bool) throws(OpsError) {
    let id = held.step.step.id
    do throws(OpsError) { return try record([held], .brief) } catch {
      guard error.isOfARow else { throw error }
      engine.passedOver.add(PassedOver(noun: .step, row: id, error: error))
      let now = monotonicSeconds()
      running[id]?.refusals += 1
      running[id]?.isLocked = error.isLockTimeout
      running[id]?.recordAt = now + min(0.1 * Double(1 << min(held.refusals, 6)), 1)
      if let failed = held.result?.refused(by: error) {
        running[id]?.result = failed
        running[id]?.recordAt = now
      } else if isLeaving, !error.isLockTimeout, held.refusals >= Self.refusalsMax {
        giveUp(id, error)
      } else if now > held.leaseEnds, isLeaving || !error.isLockTimeout {
        giveUp(id, error)
      }
    }
  }

  /// Where nothing can be recorded: what waited for it longer than its lease is another's by now.
  private func giveUp(_ error: OpsError) {
    let now = monotonicSeconds()
    for (id, held) in running where held.leaseEnds < now { giveUp(id, error) }
  }

  private func giveUp(_ id: StreamID, _ error: OpsError) {
    running[id] = nil
    result.refused += 1
    report(
      "step \(id): its outcome could not be recorded; it is tried again when its lease has ended: \(error)"
    )
  }

  /// A lease is renewed after a third of it.
  private func renew() throws(OpsError) {
    let now = monotonicSeconds()
    let due = running.values.filter { $0.renewAt <= now && ($0.result == nil || $0.isLocked) }
    guard !due.isEmpty else { return }
    do throws(OpsError) { try renew(due, now) } catch {
      guard error.isOfARow else { throw error }
      for held in due {
        do throws(OpsError) { try renew([held], now) } catch {
          guard error.isOfARow else { throw error }
          let id = held.step.step.id
          engine.passedOver.add(PassedOver(noun: .step, row: id, error: error))
          running[id]?.renewAt = now + engine.leaseSeconds / 3
        }
      }
    }
  }

  private func renew(_ due: [Held], _ now: Double) throws(OpsError) {
    let renewed = try engine.renew(due.map { ($0.step.step.id, $0.step.token) })
    for held in due {
      let id = held.step.step.id
      if let token = renewed[id] {
        running[id]?.step.token = token
        running[id]?.renewAt = now + engine.leaseSeconds / 3
        if held.result == nil { running[id]?.leaseEnds = now + engine.leaseSeconds }
      } else {
        // Lost, or locked by another transaction at this moment.
        running[id]?.renewAt = now + min(1, engine.leaseSeconds / 3)
      }
    }
  }

  /// Waits until somebody says that there is work, a look finds some, or it is told to stop.
  private func wait() throws(OpsError) {
    let look = try engine.lookAtQueue(options.name)
    let next = min(look.seconds ?? .infinity, nextRetry - monotonicSeconds())
    // Behind a pooler nobody can say that there is work.
    let lookSeconds = engine.session.isPooled ? Self.pooledLookSeconds : options.lookSeconds
    var seconds = min(max(next, 0.02), lookSeconds)
    if look.isClaimable && result.halt == nil || look.isLeaseExpired {
      isHopeful = true
      if disappointments == 0 {
        lastRecovery = -1
        return
      }
      seconds = min(0.05 * Double(1 << min(disappointments, 6)), lookSeconds)
    }
    let until = monotonicSeconds() + seconds
    while !shouldStop() {
      let left = until - monotonicSeconds()
      guard left > 0 else { return }
      // In slices, since a signal does not end the wait.
      if try engine.session.hears(withinMillis: Int(min(left, 0.2) * 1000) + 1) {
        letOthersGoFirst(look.rank)
        return
      }
    }
  }
}

extension StepOutcome.Result {
  /// What is recorded in place of an outcome that the database refuses for what it holds: a failed attempt.
  /// Nil where it is refused for another reason, or is one already.
  fileprivate func refused(by error: OpsError) -> StepOutcome.Result? {
    if case .failed(.refused, _, _) = self { return nil }
    guard let fault = error.database, ![.rollback, .state].contains(fault.errorClass),
      [.conflict, .badInput, .schemaMismatch].contains(error.code)
    else { return nil }
    return .failed(.refused, error: "its outcome cannot be recorded: \(error)", result: nil)
  }
}

extension Worker {
  private static let pooledLookSeconds = 0.25
  private static let rankMax = 8
  private static let turnMicros: UInt32 = 10_000

  /// What one call wakes all workers for, one of them mostly takes whole: the first claims at once, the
  /// others look in their turn whether anything is left.
  private func letOthersGoFirst(_ rank: Int) {
    if rank == 0 {
      isHopeful = true
    } else {
      usleep(UInt32(min(rank, Self.rankMax)) * Self.turnMicros)
    }
  }
}

func monotonicSeconds() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

extension Engine {
  private static let waiting = Statement(
    """
    SELECT w.reason, CASE w.reason WHEN 'executor' THEN w.executor END, count(*),
      min(w.not_before) FILTER (WHERE w.reason = 'time' AND w.not_before < 'infinity')
    FROM (
      SELECT coalesce(s.executor, s.kind) AS executor, s.not_before,
        CASE WHEN m.status = 'succeeded' THEN 'mission'
          WHEN EXISTS (
            SELECT FROM public.ops_mission_steps AS p WHERE p.mission_id = s.mission_id
              AND p.ordinal = ANY (s.needs) AND p.status <> 'succeeded') THEN 'step'
          WHEN NOT coalesce(s.executor, s.kind) = ANY ($1::text[]) THEN 'executor'
          WHEN s.not_before > n.now THEN 'time'
          ELSE 'none' END AS reason
      FROM public.ops_mission_steps AS s JOIN public.ops_missions AS m ON m.id = s.mission_id,
        (SELECT ledger.now() AS now) AS n
      WHERE s.status = 'queued') AS w
    GROUP BY 1, 2
    """)

  /// Why queued steps may not run; nil where none is queued.
  public func waitingSteps() throws(OpsError) -> WaitingSteps? {
    var parameters = Parameters()
    parameters.texts(Self.runnable(cache.policies.worker))
    let rows = try session.query(Self.waiting, parameters)
    var waiting = WaitingSteps()
    try onRow { () throws(PostgresError) in
      for row in 0..<rows.count {
        let count = Int(try rows.int8(row, 2))
        waiting.queued += count
        switch try rows.text(row, 0) {
        case "mission": waiting.missionClosed = count
        case "step": waiting.behindAnother = count
        case "executor": waiting.executors[try rows.text(row, 1)] = count
        case "time":
          waiting.notBefore = count
          waiting.nextAt = try rows.timestamptzIfPresent(row, 3).map(Instant.init(micros:))
        default: waiting.claimable = count
        }
      }
    }
    return waiting.queued == 0 ? nil : waiting
  }
}
