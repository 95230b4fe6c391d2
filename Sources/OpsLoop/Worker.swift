import Dispatch
import Glibc
import JSON
public import Ledger
import Log
import Postgres
import Synchronization

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

/// Steps that are queued and may not run now, by why.
public struct WaitingSteps: Equatable, Sendable {
  public var queued = 0
  public var behindAnother = 0
  public var notBefore = 0
  /// The next moment at which one of them may run.
  public var nextAt: Instant?
  public var executor = 0
  public var missionClosed = 0
}

/// Claims steps, runs them, renews their leases while they run, and records what came of them.
public final class Worker {
  public struct Options: Sendable {
    public var name: String
    /// Steps that run at the same time, at most.
    public var concurrency = 50
    /// Go on when nothing is claimable.
    public var watch = false
    /// How often to look while nothing is to do, in milliseconds.
    public var pollMillis = 500

    public init(name: String) { self.name = name }
  }

  private let engine: Engine
  private let options: Options
  private let shouldStop: @Sendable () -> Bool
  private let report: @Sendable (String) -> Void
  private let finished = FinishedSteps()
  private var running: [StreamID: Held] = [:]
  private var result = WorkerReport()
  private var lastRecovery = 0.0

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
  }

  /// Works until nothing is claimable, or for ever where it watches, or until it is told to stop.
  public func run() throws(OpsError) -> WorkerReport {
    while true {
      let isStopping = shouldStop()
      if !isStopping {
        try recover()
        try claim()
      }
      if running.isEmpty {
        if isStopping || !options.watch { break }
        pause()
        continue
      }
      finished.wait(seconds: 0.05)
      try record()
      try renew()
    }
    result.waiting = try engine.waitingSteps()
    return result
  }

  private func recover() throws(OpsError) {
    let now = monotonicSeconds()
    guard now - lastRecovery >= 1 else { return }
    lastRecovery = now
    _ = try engine.recoverLeases()
  }

  private func claim() throws(OpsError) {
    let room = options.concurrency - running.count
    guard room > 0 else { return }
    let claim = try engine.claim(room, worker: options.name)
    result.halt = claim.halt
    result.claimed += claim.steps.count
    let renewAt = monotonicSeconds() + engine.settings.leaseSeconds / 3
    for step in claim.steps {
      running[step.step.id] = Held(step: step, claim: claim, renewAt: renewAt)
      start(step)
    }
  }

  private func start(_ claimed: ClaimedStep) {
    let failures = Int(claimed.step.failureCount)
    if Executors.isInstant(claimed.step) {
      finished.add(claimed.step.id, Executors.run(claimed.step, failures: failures))
      return
    }
    DispatchQueue.global().async { [finished] in
      finished.add(claimed.step.id, Executors.run(claimed.step, failures: failures))
    }
  }

  /// Records what is finished, together.
  private func record() throws(OpsError) {
    let done = finished.take()
    guard !done.isEmpty else { return }
    var outcomes: [StepOutcome] = []
    var claim: Claim?
    for (id, result) in done {
      guard let held = running.removeValue(forKey: id) else { continue }
      claim = held.claim
      outcomes.append(StepOutcome(held.step, result))
    }
    guard let claim else { return }
    let completion = try engine.complete(outcomes, claim: claim)
    for (outcome, error) in completion.refused { report("step \(outcome.stepID): \(error)") }
    result.refused += completion.refused.count
    result.succeeded += completion.succeeded
    result.failed += completion.failed
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
      running[id]?.renewAt = now + engine.settings.leaseSeconds / 3
    }
  }

  private func pause() {
    var left = options.pollMillis
    while left > 0, !shouldStop() {
      usleep(UInt32(min(left, 100)) * 1000)
      left -= 100
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

private func monotonicSeconds() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

extension Engine {
  private static let waiting = Statement(
    """
    SELECT count(*),
      count(*) FILTER (WHERE m.status IN ('approved', 'running') AND s.not_before > n.now),
      count(*) FILTER (WHERE NOT coalesce(s.executor, s.kind) = ANY ($1::text[])),
      count(*) FILTER (WHERE m.status NOT IN ('approved', 'running')),
      count(*) FILTER (WHERE EXISTS (
        SELECT FROM ops_mission_steps AS p WHERE p.mission_id = s.mission_id
          AND p.ordinal = ANY (s.needs) AND p.status <> 'succeeded')),
      min(s.not_before) FILTER (WHERE s.not_before > n.now)
    FROM ops_mission_steps AS s JOIN ops_missions AS m ON m.id = s.mission_id,
      (SELECT ledger.now() AS now) AS n
    WHERE s.status = 'queued'
    """)

  /// Why queued steps may not run; nil where none is queued.
  public func waitingSteps() throws(OpsError) -> WaitingSteps? {
    let policy = cache.policies.worker.value
    var parameters = Parameters()
    parameters.texts(
      Executors.names.filter { policy?.blockedExecutors.contains($0) != true }.sorted())
    let rows = try session.query(Self.waiting, parameters)
    let waiting = try onRow { () throws(PostgresError) in
      WaitingSteps(
        queued: Int(try rows.int8(0, 0)), behindAnother: Int(try rows.int8(0, 4)),
        notBefore: Int(try rows.int8(0, 1)),
        nextAt: try rows.timestamptzIfPresent(0, 5).map(Instant.init(micros:)),
        executor: Int(try rows.int8(0, 2)), missionClosed: Int(try rows.int8(0, 3)))
    }
    return waiting.queued == 0 ? nil : waiting
  }
}
