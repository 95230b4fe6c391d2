import Glibc
public import Ledger
import Log
import Threads

/// The counts of a worker that has ended.
public struct WorkerReport: Equatable, Sendable {
  public var claimed = 0
  public var succeeded = 0
  public var failed = 0
  /// Outcomes that were not recorded before another worker had the lease.
  public var refused = 0
  /// Why the loop is halted.
  public var halt: String?
  /// Why the remaining queued steps may not run.
  public var waiting: WaitingSteps?
}

/// Claims steps, runs them, renews their leases while they run, and records their outcomes.
///
/// A state machine decides each action, and the worker performs it.
public final class Worker {
  public struct Options: Sendable {
    public var name: String
    public var host = ""
    public var pid: Int32 = 0
    /// Steps that run at the same time, at most.
    public var concurrency = 50
    /// Whether to wait for more steps when there is none to claim.
    public var watch = false
    /// The seconds after which a waiting worker asks whether there is a step, if nothing wakes it before.
    public var lookSeconds = 2.0
    /// The seconds between two full claims. They find the steps that a look leaves out: steps that follow others in
    /// missions of other workers, and steps of executors that a manual change of the policy resumed.
    public var fullLookSeconds = 10.0

    public init(name: String) { self.name = name }
  }

  private let engine: Engine
  private let options: Options
  private let shouldStop: @Sendable () -> Bool
  private let report: @Sendable (String) -> Void
  private var machine: WorkerStateMachine
  /// Steps that have run, from the threads that ran them.
  private let finished = BoundedQueue<WorkerStateMachine.Finished>()
  private var presence: Presence

  /// - Parameters:
  ///   - shouldStop: Asked between steps. When it is true, running steps finish and no others are claimed.
  ///   - report: Gets a line for each outcome that was not recorded.
  public init(
    _ engine: Engine, _ options: Options, shouldStop: @escaping @Sendable () -> Bool,
    report: @escaping @Sendable (String) -> Void
  ) {
    self.engine = engine
    self.options = options
    self.shouldStop = shouldStop
    self.report = report
    machine = WorkerStateMachine(options)
    presence = Presence(options)
  }

  /// Works until there is no step to claim (a worker that watches waits for more), or until it is told to stop. Before it
  /// returns, it records the outcomes of the steps that it ran, as long as their leases last.
  ///
  /// - Throws: `OPS_001` if a worker that watches cannot reach the database. Its steps continue to run, and the next call
  ///   records them.
  public func run() throws(OpsError) -> WorkerReport {
    defer { presence.leave(engine) }
    var event = WorkerStateMachine.Event.began
    while let action = machine.next(after: event, reading) {
      do throws(OpsError) { event = try perform(action) } catch { event = .failed(error) }
      for passed in engine.takeQuarantined() { report(passed.description) }
    }
    if let failure = machine.failure { throw failure }
    var done = machine.report
    done.waiting = try engine.waitingSteps()
    return done
  }

  private var reading: WorkerStateMachine.Reading {
    WorkerStateMachine.Reading(
      seconds: monotonicSeconds(), isToldToStop: shouldStop(), leaseSeconds: engine.leaseSeconds,
      isPooled: engine.session.isPooled)
  }

  private func perform(
    _ action: WorkerStateMachine.Action
  ) throws(OpsError) -> WorkerStateMachine.Event {
    switch action {
    case .subscribe: try engine.session.listen(to: Queue.channel)
    case .note(let running, let claimed): presence.note(engine, running: running, claimed: claimed)
    case .recover(let held): return .recovered(try engine.recoverLeases(but: held).total)
    case .claim(let limit, let following):
      return .claimed(try engine.claim(limit, worker: options.name, following: following))
    case .findRetry(let elapsed):
      return .retry(inSeconds: try engine.secondsUntilRetry(elapsed: elapsed))
    case .start(let step): start(step)
    case .collect(let seconds): return .finished(finished.takeAll(withinSeconds: seconds))
    case .record(let outcomes, let isAlone):
      let completion = try engine.complete(outcomes, isAlone ? .brief : .once)
      for outcome in outcomes { engine.quarantined.remove(outcome.stepID) }
      return .recorded(completion)
    case .renew(let steps): return .renewed(try engine.renew(steps.map { ($0.step.id, $0.token) }))
    case .quarantine(let step, let error):
      engine.quarantined.add(Quarantined(rowType: .step, row: step, error: error))
    case .look: return .looked(try engine.lookAtQueue(options.name))
    case .listen(let seconds):
      return .heard(
        try engine.session.hears(withinMillis: seconds > 0 ? Int(seconds * 1000) + 1 : 0))
    case .wake: engine.wake()
    case .pause(let seconds): usleep(UInt32(seconds * 1e6))
    case .say(let line): report(line)
    }
    return .done
  }

  private func start(_ claimed: ClaimedStep) {
    let execution = Executors.execution(of: claimed)
    let run = { @Sendable [finished] () -> Void in
      finished.put(.init(run: claimed.token.runID, result: execution.run()))
    }
    // A queue has no more threads than the machine has cores, and steps mostly wait.
    if execution.isInstant { run() } else { runOnThread(run) }
  }
}
