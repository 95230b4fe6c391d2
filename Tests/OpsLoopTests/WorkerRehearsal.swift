import Ledger
import TestSupport

@testable import OpsLoop

/// A worker's state machine without threads or a database. A test answers the actions that it is about; the others are
/// answered as by a database that has nothing to say, and take no time.
struct WorkerRehearsal {
  var now = 1000.0
  var isToldToStop = false
  var isPooled = false
  var leaseSeconds = 300.0
  /// What the worker said, in order.
  private(set) var said: [String] = []
  /// The steps that it started, by their numbers.
  private(set) var started: [Int] = []
  private(set) var machine: WorkerStateMachine
  private(set) var action: WorkerStateMachine.Action?

  init(watch: Bool = false, concurrency: Int = 50) {
    var options = Worker.Options(name: "worker/test")
    options.watch = watch
    options.concurrency = concurrency
    machine = WorkerStateMachine(options)
  }

  /// Answers the last action.
  ///
  /// - Returns: The next action in words; nil where the worker ends.
  @discardableResult
  mutating func answer(_ event: WorkerStateMachine.Event) -> String? {
    action = machine.next(
      after: event,
      .init(
        seconds: now, isToldToStop: isToldToStop, leaseSeconds: leaseSeconds, isPooled: isPooled))
    if case .say(let line)? = action { said.append(line) }
    if case .start(let step)? = action { started.append(step.number) }
    return action.map(Self.words)
  }

  /// Answers the last action, and those that follow, until one begins with these words.
  ///
  /// - Returns: It; nil where the worker ends before.
  @discardableResult
  mutating func answer(_ event: WorkerStateMachine.Event, until words: String) -> String? {
    var next = answer(event)
    // A worker that does not come to it goes round in circles.
    for _ in 0..<1000 {
      guard let last = next, !last.hasPrefix(words), let action else { return next }
      next = answer(quiet(action))
    }
    return "never: \(words)"
  }

  /// The next action that begins with these words, where nothing happens until then.
  @discardableResult
  mutating func go(until words: String) -> String? {
    answer(action.map(quiet) ?? .began, until: words)
  }

  /// Whether the worker ends after this, where nothing else happens.
  mutating func ends(_ event: WorkerStateMachine.Event) -> Bool {
    answer(event, until: "the end") == nil
  }

  private func quiet(_ action: WorkerStateMachine.Action) -> WorkerStateMachine.Event {
    switch action {
    case .subscribe, .note, .start, .quarantine, .wake, .pause, .say: .done
    case .recover: .recovered(0)
    case .claim: .claimed(.of([]))
    case .findRetry: .retry(inSeconds: nil)
    case .collect: .finished([])
    case .record(let outcomes, _): .recorded(.of(outcomes.count))
    case .renew(let steps): .renewed(.of(steps))
    case .look: .looked(.nothing)
    case .listen: .heard(false)
    }
  }

  private static func words(_ action: WorkerStateMachine.Action) -> String {
    switch action {
    case .subscribe: "subscribe"
    case .note(let running, let claimed): "note \(running) running, \(claimed) claimed"
    case .recover(let held): "recover but \(held.map(\.low).sorted())"
    case .claim(let limit, .all): "claim \(limit)"
    case .claim(let limit, .of(let missions)):
      "claim \(limit) following \(missions.map(\.low).sorted())"
    case .findRetry(let elapsed): "find retry after \(elapsed)"
    case .start(let step): "start \(step.number)"
    case .collect: "collect"
    case .record(let outcomes, let isAlone):
      "record \(outcomes.map(\.stepID.low))" + (isAlone ? " alone" : "")
    case .renew(let steps): "renew \(steps.map(\.number).sorted())"
    case .quarantine(let step, let error): "pass over \(step.low): \(error.code.rawValue)"
    case .look: "look"
    case .listen(let seconds): "listen \((seconds * 1000).rounded() / 1000)"
    case .wake: "wake"
    case .pause(let seconds): "pause \((seconds * 1000).rounded() / 1000)"
    case .say(let line): "say \(line)"
    }
  }
}

extension ClaimedStep {
  /// A step of mission 900 and this number, claimed for the `attempt`th time.
  init(_ number: Int, attempt: Int32 = 1, needs: [Int32]? = nil, entry: Int64 = 1) {
    var row = Step(blank: StreamID(high: 0, low: UInt64(number)))
    row.missionID = StreamID(high: 0, low: 900 + UInt64(number))
    row.needs = needs
    row.version = attempt * 10
    let run = StreamID(high: UInt64(attempt), low: UInt64(number))
    self.init(
      step: row, token: Step.Token(version: row.version, runID: run), attempt: row.version)
    self.entry = entry
  }

  var number: Int { Int(step.id.low) }

  /// It has run.
  func finished(
    _ result: StepOutcome.Result = .succeeded(nil)
  ) -> WorkerStateMachine.Finished { .init(run: token.runID, result: result) }
}

extension Claim {
  static func of(_ steps: [ClaimedStep], hasLeftSome: Bool = false, halt: String? = nil) -> Claim {
    var claim = Claim(rules: WorkRules(attemptsMax: 3, matrix: nil))
    (claim.steps, claim.hasLeftSome, claim.halt) = (steps, hasLeftSome, halt)
    return claim
  }
}

extension Completion {
  /// So many have succeeded, and no mission has steps left, or these have.
  static func of(_ succeeded: Int, open: Set<StreamID> = []) -> Completion {
    var completion = Completion()
    (completion.succeeded, completion.open) = (succeeded, open)
    return completion
  }
}

extension [StreamID: Step.Token] {
  /// New tokens for leases that are renewed.
  static func of(_ steps: [ClaimedStep]) -> Self {
    Dictionary(
      steps.map {
        ($0.step.id, Step.Token(version: $0.token.version + 1, runID: $0.token.runID))
      }, uniquingKeysWith: { $1 })
  }
}

extension QueueLook {
  static let nothing = QueueLook(isClaimable: false, isLeaseExpired: false, rank: 0, seconds: nil)
}

extension OpsError {
  static let away = OpsError(.databaseUnreachable, "it is away")
  static let locked = OpsError(
    .conflict, "a lock", cause: .database(DatabaseFault(sqlstate: "55P03")))
  /// What it holds is refused.
  static let poisoned = OpsError(
    .conflict, "a check", cause: .database(DatabaseFault(sqlstate: "23514")))
  /// It is refused for a reason that says nothing about it.
  static let lostRace = OpsError(
    .conflict, "a race", cause: .database(DatabaseFault(sqlstate: "40001")))
}
