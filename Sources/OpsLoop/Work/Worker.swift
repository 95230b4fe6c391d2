import Glibc
public import Ledger
import Log
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

/// Claims steps, runs them, renews their leases while they run, and records what came of them.
///
/// What it does next is decided by a state machine; here it is done.
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
  private var machine: WorkerStateMachine
  /// On their way from the threads that ran them.
  private let finished = BoundedQueue<WorkerStateMachine.Finished>()
  private var presence: Presence

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
    machine = WorkerStateMachine(options)
    presence = Presence(options)
  }

  /// Works until nothing is claimable, or for ever where it watches, or until it is told to stop. For
  /// whatever reason it leaves, what it has executed is recorded first, as long as its leases last.
  ///
  /// - Throws: Where the database is out of reach of a worker that watches, what runs goes on, and the next
  ///   call records it.
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
    // A thread each: a queue has no more threads than the machine has cores, and steps mostly wait.
    if execution.isInstant { run() } else { runOnThread(run) }
  }
}
