import Dispatch
import Glibc
import JSON
public import Ledger
import Log
import Postgres
import Synchronization
import Threads

/// What a worker did until it ended.
public struct WorkerReport: Equatable, Sendable {
  public var claimed = 0
  public var succeeded = 0
  public var failed = 0
  /// Outcomes that came too late: the lease was another's.
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
  private let finished = FinishedSteps()
  private var running: [StreamID: Held] = [:]
  private var result = WorkerReport()
  /// Whether there may be something to claim; not before somebody says so, or a look.
  private var isHopeful = true
  /// Missions of which steps have ended since the last claim: what follows them may run now.
  private var ended: Set<StreamID> = []
  private var reportedUnreadable: Set<StreamID> = []
  /// Claims in a row that gave nothing: what a look sees, others may hold.
  private var disappointments = 0
  private var lastRecovery = -1.0
  private var lastFullLook = -Double.infinity
  /// When a step that follows others may be tried again, as far as this worker knows.
  private var nextRetry = Double.infinity
  private var presence: Presence

  private struct Held {
    var step: ClaimedStep
    let claim: Claim
    var renewAt: Double
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

  /// Works until nothing is claimable, or for ever where it watches, or until it is told to stop.
  public func run() throws(OpsError) -> WorkerReport {
    defer { presence.leave(engine) }
    if options.watch { try engine.session.listen(to: Queue.channel) }
    while true {
      let isStopping = shouldStop()
      presence.note(engine, running: running.count, claimed: result.claimed)
      if !isStopping { try take() }
      if running.isEmpty {
        if isStopping { break }
        if isHopeful { continue }
        if !options.watch { break }
        try wait()
        continue
      }
      finished.wait(seconds: 0.05)
      try record()
      try renew()
      if options.watch, !isHopeful { isHopeful = try engine.session.hears(withinMillis: 0) }
    }
    result.waiting = try engine.waitingSteps()
    return result
  }

  // MARK: Claiming

  private func take() throws(OpsError) {
    try recover()
    let now = monotonicSeconds()
    let isDue = now - lastFullLook >= options.fullLookSeconds || now >= nextRetry
    if isDue { isHopeful = true }
    let room = options.concurrency - running.count
    guard isHopeful, room > 0 else { return }
    // The last look before it ends is a full one: it has nothing running that could tell it more.
    let isFull = isDue || running.isEmpty && ended.isEmpty
    let claim = try engine.claim(
      room, worker: options.name, following: isFull ? .all : .of(Array(ended)))
    result.halt = claim.halt
    result.claimed += claim.steps.count
    note(claim.unreadable)
    disappointments = claim.steps.isEmpty ? disappointments + 1 : 0
    if claim.steps.count(where: { $0.step.needs?.isEmpty == false }) < room { ended = [] }
    if claim.steps.count < room {
      // What it had not asked for may be there still: the next look tells.
      isHopeful = !isFull && claim.halt == nil && running.isEmpty && claim.steps.isEmpty
      if isFull { lastFullLook = now }
    }
    let renewAt = now + engine.leaseSeconds / 3
    for step in claim.steps {
      running[step.step.id] = Held(step: step, claim: claim, renewAt: renewAt)
      start(step)
    }
    if isFull, claim.steps.count < room, options.watch {
      nextRetry = now + (try engine.secondsUntilRetry() ?? .infinity)
    }
  }

  private func recover() throws(OpsError) {
    let now = monotonicSeconds()
    // While nothing runs here, a look says when a lease has ended.
    guard isHopeful || !running.isEmpty, now - lastRecovery >= 1 else { return }
    lastRecovery = now
    if try engine.recoverLeases().total > 0 { isHopeful = true }
  }

  private func note(_ unreadable: [(step: StreamID, error: OpsError)]) {
    for (step, error) in unreadable where reportedUnreadable.insert(step).inserted {
      report("step \(step) is passed over: \(error)")
    }
  }

  private func start(_ claimed: ClaimedStep) {
    if Executors.isInstant(claimed.step) {
      finished.add(claimed.step.id, Executors.run(claimed))
      return
    }
    // A thread each: a queue has no more threads than the machine has cores, and steps mostly wait.
    let run: @Sendable () -> Void = { [finished] in
      finished.add(claimed.step.id, Executors.run(claimed))
    }
    if !startThread(run) { run() }
  }

  // MARK: Recording

  /// Records what is finished: together what was claimed together, since the claim is its cause.
  private func record() throws(OpsError) {
    let done = finished.take()
    let byClaim = Dictionary(grouping: done) { running[$0.0]?.claim.entry }
    for group in byClaim.values {
      do { try record(group) } catch {
        // Whoever runs us again finds them where they were.
        for (id, result) in done where running[id] != nil { finished.add(id, result) }
        throw error
      }
    }
  }

  private func record(_ group: [(StreamID, StepOutcome.Result)]) throws(OpsError) {
    var claim: Claim?
    var outcomes: [StepOutcome] = []
    for (id, result) in group {
      guard let held = running[id] else { continue }
      claim = held.claim
      outcomes.append(StepOutcome(held.step, result))
    }
    guard let claim else { return }
    let completion = try engine.complete(outcomes, claim: claim)
    for (id, _) in group { running[id] = nil }
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

  /// A lease is renewed after a third of it.
  private func renew() throws(OpsError) {
    let now = monotonicSeconds()
    let due = running.values.filter { $0.renewAt <= now }
    guard !due.isEmpty else { return }
    let renewed = try engine.renew(due.map { ($0.step.step.id, $0.step.token) })
    for held in due {
      let id = held.step.step.id
      if let token = renewed[id] { running[id]?.step.token = token }
      running[id]?.renewAt = now + engine.leaseSeconds / 3
    }
  }

  /// Waits until somebody says that there is work, a look finds some, or it is told to stop.
  private func wait() throws(OpsError) {
    let look = try engine.lookAtQueue(options.name)
    let next = min(look.seconds ?? .infinity, nextRetry - monotonicSeconds())
    var seconds = min(max(next, 0.02), options.lookSeconds)
    if look.isClaimable && result.halt == nil || look.isLeaseExpired {
      isHopeful = true
      if disappointments == 0 {
        lastRecovery = -1
        return
      }
      seconds = min(0.05 * Double(1 << min(disappointments, 6)), options.lookSeconds)
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

extension Worker {
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

/// Outcomes on their way from the threads that ran the steps.
private final class FinishedSteps: Sendable {
  private let done = Mutex<[(StreamID, StepOutcome.Result)]>([])
  private let signal = DispatchSemaphore(value: 0)

  func add(_ step: StreamID, _ result: StepOutcome.Result) {
    done.withLock { $0.append((step, result)) }
    signal.signal()
  }

  func wait(seconds: Double) {
    guard signal.wait(timeout: .now() + seconds) == .success else { return }
    // What is ready together is recorded together.
    while signal.wait(timeout: .now()) == .success {}
  }

  func take() -> [(StreamID, StepOutcome.Result)] {
    done.withLock { list in
      defer { list.removeAll() }
      return list
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
      min(w.not_before) FILTER (WHERE w.reason = 'time')
    FROM (
      SELECT coalesce(s.executor, s.kind) AS executor, s.not_before,
        CASE WHEN m.status = 'succeeded' THEN 'mission'
          WHEN EXISTS (
            SELECT FROM ops_mission_steps AS p WHERE p.mission_id = s.mission_id
              AND p.ordinal = ANY (s.needs) AND p.status <> 'succeeded') THEN 'step'
          WHEN NOT coalesce(s.executor, s.kind) = ANY ($1::text[]) THEN 'executor'
          WHEN coalesce(s.not_before, s.created_at) > n.now THEN 'time'
          ELSE 'none' END AS reason
      FROM ops_mission_steps AS s JOIN ops_missions AS m ON m.id = s.mission_id,
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
