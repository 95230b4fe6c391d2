import Ledger
import TestSupport
import Testing

@testable import OpsLoop

/// A worker's state machine in random worlds: steps that follow each other, a database that goes away and comes back,
/// locks, refused outcomes, other workers, a stop at any moment. `OPS_TEST_SEED` plays one seed again.
struct WorkerWalkTests {
  @Test(
    "it runs no step twice, claims no more than it may hold, forgets no outcome, and ends",
    arguments: Seeds.some(400))
  func walk(seed: UInt64) throws {
    var world = World(seed)
    try world.play()
    #expect(world.broken == [], "seed \(seed)")
  }
}

/// One worker, and what is around it. Times are seconds.
private struct World {
  private struct Task {
    let mission: Int
    /// Of its mission, the step before.
    let follows: Int?
    var state = State.queued
    var attempts: Int32 = 0
    var notBefore = 0.0
    /// The database refuses what it holds.
    let isPoisoned: Bool
    var lockedUntil = 0.0

    enum State: Equatable {
      case queued, done
      case leased(StreamID?, until: Double)
    }
  }

  /// One execution by the worker.
  private struct Run {
    let task: Int
    var token: Step.Token
    var startedAt: Double?
    var endsAt = Double.infinity
    var isCollected = false
    var isSettled = false
    var leaseEnds: Double
    /// Since then it may be renewed.
    var renewableAt: Double
    /// How often its outcome was tried alone, and how often of these no lock was in the way.
    var tries = 0
    var refusals = 0
  }

  private var random: Generator
  private var machine: WorkerStateMachine
  private let options: Worker.Options
  private let leaseSeconds: Double
  private var now = 100.0
  private var tasks: [Task] = []
  private var runs: [StreamID: Run] = [:]
  private var entry: Int64 = 0
  /// When the database is away.
  private let outages: [Range<Double>]
  private let stopAt: Double
  /// Whether it watches until everything is done, and is told to stop then.
  private let hasTime: Bool
  /// From then on nothing goes wrong, and no other worker takes anything.
  private let calmAt: Double
  private var succeeded = 0
  private var failed = 0
  private var refused = 0
  /// What should not have happened.
  private(set) var broken: [String] = []

  init(_ seed: UInt64) {
    var random = Generator(seed: seed)
    var options = Worker.Options(name: "worker/walk")
    options.watch = random.flip()
    options.concurrency = 1 + random.below(6)
    self.options = options
    machine = WorkerStateMachine(options)
    leaseSeconds = random.pick([1.0, 5, 30])
    let calmAt = 100 + Double(random.below(60))
    self.calmAt = calmAt
    hasTime = options.watch && random.flip()
    stopAt =
      hasTime
      ? calmAt + 3000
      : options.watch || random.flip() ? 100 + Double(random.below(60)) : .infinity
    outages = (0..<random.below(4)).map { _ in
      let from = 100 + Double(random.below(6000)) / 100
      return from..<min(from + Double(random.below(1200)) / 100, max(from, calmAt))
    }
    for mission in 0..<(1 + random.below(8)) {
      for position in 0..<(1 + random.below(4)) {
        tasks.append(
          Task(
            mission: mission, follows: position > 0 && random.below(3) > 0 ? tasks.count - 1 : nil,
            isPoisoned: random.below(8) == 0))
      }
    }
    self.random = random
  }

  private var isAway: Bool { outages.contains { $0.contains(now) } }
  private var isDone: Bool { tasks.allSatisfy { $0.state == .done } }
  private var isToldToStop: Bool { now >= stopAt || hasTime && isDone }
  private var isCalm: Bool { now >= calmAt }

  mutating func play() throws {
    var event = WorkerStateMachine.Event.began
    var atOnce = 0
    for _ in 0..<200_000 {
      let reading = WorkerStateMachine.Reading(
        seconds: now, isToldToStop: isToldToStop, leaseSeconds: leaseSeconds, isPooled: false)
      guard let action = machine.next(after: event, reading) else {
        guard options.watch, machine.failure?.code == .databaseUnreachable, !isToldToStop else {
          return end()
        }
        // As the command does: it waits until the database is back.
        while isAway { pass(0.1) }
        event = .began
        continue
      }
      atOnce =
        switch action {
        case .collect, .listen, .pause: 0
        default: atOnce + 1
        }
      if atOnce > 200 { return broken.append("it goes round in circles: \(action)") }
      event = perform(action)
      othersAct()
    }
    broken.append("it does not end")
  }

  private mutating func pass(_ seconds: Double) { now += seconds }

  private mutating func require(_ isSo: Bool, _ what: String) {
    if !isSo { broken.append("at \(now): \(what)") }
  }

  // MARK: The worker's actions

  private mutating func perform(_ action: WorkerStateMachine.Action) -> WorkerStateMachine.Event {
    switch action {
    case .subscribe: return onDatabase { _ in .done }
    case .note(let running, _):
      require(running == runs.values.count { !$0.isSettled }, "\(running) are said to run")
      return .done
    case .recover(let held):
      let ours = Set(runs.values.filter { !$0.isSettled }.map { id($0.task) })
      require(ours == Set(held), "what it holds could be taken back")
      return onDatabase { world in .recovered(world.recover(but: ours)) }
    case .claim(let limit, let following):
      require(!isToldToStop, "it claims although it was told to stop")
      require(machine.failure == nil, "it claims although it ends")
      let occupied = runs.values.count { !$0.isSettled && $0.tries == 0 }
      require(limit > 0 && occupied + limit <= options.concurrency, "\(occupied) and \(limit) more")
      return onDatabase { world in world.claim(limit, following) }
    case .findRetry(let elapsed):
      return onDatabase { world in .retry(inSeconds: world.nextRetry(elapsed)) }
    case .start(let step): start(step)
    case .collect(let seconds): return .finished(collect(seconds))
    case .record(let outcomes, let isAlone):
      for outcome in outcomes {
        let run = runs[outcome.token.runID]
        require(run?.isCollected == true, "an outcome of what has not run")
        require(run?.isSettled == false, "an outcome is recorded twice")
        require(run?.token == outcome.token, "with a token that was renewed since")
      }
      return record(outcomes, isAlone)
    case .renew(let steps): return renew(steps)
    case .quarantine: return .done
    case .look: return onDatabase { world in .looked(world.look()) }
    case .listen(let seconds):
      pass(seconds)
      return onDatabase { world in .heard(world.random.below(4) == 0) }
    case .wake: return .done
    case .pause(let seconds): pass(seconds)
    case .say(let line): said(line)
    }
    return .done
  }

  private mutating func onDatabase(
    _ body: (inout World) -> WorkerStateMachine.Event
  ) -> WorkerStateMachine.Event {
    pass(random.below(20) == 0 && !isCalm ? 0.5 : 0.001)
    if isAway { return .failed(.away) }
    if !isCalm, random.below(200) == 0 { return .failed(.schema) }
    return body(&self)
  }

  private func id(_ task: Int) -> StreamID { StreamID(high: 0, low: UInt64(task)) }
  private func mission(_ task: Int) -> StreamID {
    StreamID(high: 1, low: UInt64(tasks[task].mission))
  }

  private func isClaimable(_ task: Int) -> Bool {
    tasks[task].state == .queued && tasks[task].notBefore <= now
      && tasks[task].follows.map { tasks[$0].state == .done } ?? true
  }

  private mutating func claim(
    _ limit: Int, _ following: Following
  ) -> WorkerStateMachine.Event {
    var found = tasks.indices.filter { isClaimable($0) }.filter { task in
      guard tasks[task].follows != nil, case .of(let missions) = following else { return true }
      return missions.contains(mission(task))
    }.prefix(limit)
    // Rows that are large, or that others have locked.
    let fits = isCalm ? found.count : random.below(found.count + 1)
    let hasLeftSome = fits > 0 && fits < found.count
    if fits > 0 || random.flip() { found = found.prefix(fits) }
    entry += 1
    var claim = Claim.of([], hasLeftSome: hasLeftSome)
    for task in found {
      tasks[task].attempts += 1
      var step = ClaimedStep(
        task, attempt: tasks[task].attempts, needs: tasks[task].follows.map { _ in [0] })
      step.step.missionID = mission(task)
      step.entry = entry
      let run = step.token.runID
      require(runs[run] == nil, "a run is claimed twice")
      tasks[task].state = .leased(run, until: now + leaseSeconds)
      runs[run] = Run(
        task: task, token: step.token, leaseEnds: now - 0.5 + leaseSeconds,
        renewableAt: now + leaseSeconds / 3)
      claim.steps.append(step)
    }
    return .claimed(claim)
  }

  private mutating func start(_ step: ClaimedStep) {
    let run = step.token.runID
    require(runs[run] != nil && runs[run]?.startedAt == nil, "a run is started twice")
    runs[run]?.startedAt = now
    let seconds = random.pick([0, 0, 0.01, 0.3, 2, min(2 * leaseSeconds, 12)])
    runs[run]?.endsAt = now + seconds
  }

  private mutating func collect(_ seconds: Double) -> [WorkerStateMachine.Finished] {
    let running = runs.values.filter { $0.startedAt != nil && !$0.isCollected }
    pass(min(max((running.map(\.endsAt).min() ?? .infinity) - now, 0), seconds) + 0.0001)
    for run in running
    where !run.isSettled && run.endsAt > now && now > run.renewableAt + 2 && !isExcused(run) {
      broken.append("at \(now): a lease is not renewed: \(run)")
    }
    var finished: [WorkerStateMachine.Finished] = []
    for (id, run) in runs where run.startedAt != nil && !run.isCollected && run.endsAt <= now {
      runs[id]?.isCollected = true
      finished.append(.init(run: id, result: .succeeded("\(id)")))
    }
    return finished
  }

  /// Whether what went wrong in the world explains a renewal that did not come.
  private func isExcused(_ run: Run) -> Bool {
    guard now > calmAt + leaseSeconds / 3 + 3, case .leased(let holder, _) = tasks[run.task].state
    else { return true }
    return holder != run.token.runID
  }

  private mutating func record(
    _ outcomes: [StepOutcome], _ isAlone: Bool
  ) -> WorkerStateMachine.Event {
    require(
      isAlone ? outcomes.count == 1 : Set(outcomes.map(\.cause)).count == 1, "not of one claim")
    let event = onDatabase { world in
      for outcome in outcomes {
        if let error = world.refusal(of: outcome) { return .failed(error) }
      }
      return .recorded(world.recorded(outcomes))
    }
    if case .failed(let error) = event, error != .away, isAlone {
      runs[outcomes[0].token.runID]?.tries += 1
      if error != .locked { runs[outcomes[0].token.runID]?.refusals += 1 }
    }
    return event
  }

  private mutating func refusal(of outcome: StepOutcome) -> OpsError? {
    guard let task = runs[outcome.token.runID]?.task else { return nil }
    if tasks[task].lockedUntil > now { return .locked }
    if case .failed = outcome.result { return nil }
    if tasks[task].isPoisoned { return .poisoned }
    return !isCalm && random.below(10) == 0 ? .lostRace : nil
  }

  private mutating func recorded(_ outcomes: [StepOutcome]) -> Completion {
    var completion = Completion()
    for outcome in outcomes {
      let run = outcome.token.runID
      guard let task = runs[run]?.task else { continue }
      runs[run]?.isSettled = true
      guard case .leased(let holder?, _) = tasks[task].state, holder == run else {
        completion.refused.append((outcome, OpsError(.claimLost, "another's")))
        refused += 1
        continue
      }
      if case .failed = outcome.result {
        tasks[task].state = tasks[task].attempts < 3 ? .queued : .done
        tasks[task].notBefore = now + 3
        if tasks[task].follows != nil { completion.retrySeconds = 3 }
        completion.failed += 1
        failed += 1
      } else {
        tasks[task].state = .done
        completion.succeeded += 1
        succeeded += 1
      }
      if tasks.contains(where: { $0.mission == tasks[task].mission && $0.state != .done }) {
        completion.open.insert(mission(task))
      }
    }
    return completion
  }

  private mutating func renew(_ steps: [ClaimedStep]) -> WorkerStateMachine.Event {
    let asked = now
    return onDatabase { world in
      if !world.isCalm, world.random.below(20) == 0 { return .failed(.poisoned) }
      var tokens: [StreamID: Step.Token] = [:]
      for step in steps {
        let run = step.token.runID
        guard let task = world.runs[run]?.task, world.tasks[task].lockedUntil <= world.now,
          case .leased(let holder?, _) = world.tasks[task].state, holder == run
        else { continue }
        let token = Step.Token(version: step.token.version + 1, runID: run)
        tokens[step.step.id] = token
        world.runs[run]?.token = token
        world.tasks[task].state = .leased(run, until: world.now + world.leaseSeconds)
        world.runs[run]?.renewableAt = asked + world.leaseSeconds / 3
        if world.runs[run]?.isCollected == false {
          world.runs[run]?.leaseEnds = asked + world.leaseSeconds
        }
      }
      return .renewed(tokens)
    }
  }

  private mutating func said(_ line: String) {
    guard line.contains("could not be recorded") else { return }
    let given = runs.filter { !$0.value.isSettled && line.contains("step \(id($0.value.task)):") }
    // The first of them is the one that waited longest.
    guard let (run, known) = given.min(by: { $0.value.leaseEnds < $1.value.leaseEnds }) else {
      return require(false, "gave up what it does not hold")
    }
    require(
      known.leaseEnds < now || known.refusals > 3, "gives up what it could still record: \(known)")
    runs[run]?.isSettled = true
    refused += 1
  }

  // MARK: The world

  private mutating func recover(but held: Set<StreamID>) -> Int {
    var count = 0
    for task in tasks.indices where !held.contains(id(task)) {
      guard case .leased(_, let until) = tasks[task].state, until < now else { continue }
      tasks[task].state = .queued
      count += 1
    }
    return count
  }

  private func look() -> QueueLook {
    let ready = tasks.indices.filter { tasks[$0].follows == nil }
    return QueueLook(
      isClaimable: ready.contains { isClaimable($0) },
      isLeaseExpired: tasks.contains {
        if case .leased(_, let until) = $0.state { until < now } else { false }
      }, rank: options.concurrency % 3,
      seconds: ready.filter { tasks[$0].state == .queued && tasks[$0].notBefore > now }
        .map { tasks[$0].notBefore - now }.min())
  }

  private func nextRetry(_ elapsed: Double) -> Double? {
    tasks.filter { $0.follows != nil && $0.state == .queued && $0.notBefore > now - elapsed }
      .map { $0.notBefore - now }.min()
  }

  /// Other workers and people, now and then.
  private mutating func othersAct() {
    guard !isCalm, random.below(10) == 0 else { return }
    let task = random.below(tasks.count)
    switch random.below(3) {
    case 0: tasks[task].lockedUntil = min(now + Double(random.below(300)) / 100, calmAt)
    case 1 where isClaimable(task): tasks[task].state = .leased(nil, until: now + 3)
    default:
      if case .leased(_, let until) = tasks[task].state, until < now { tasks[task].state = .queued }
    }
  }

  private mutating func end() {
    require(runs.values.allSatisfy(\.isSettled), "it ends with steps in hand")
    require(
      runs.values.allSatisfy { $0.startedAt != nil }, "it ends without starting what it claimed")
    let report = machine.report
    require(report.claimed == runs.count, "\(report) of \(runs.count) runs")
    require(
      (report.succeeded, report.failed, report.refused) == (succeeded, failed, refused),
      "\(report) instead of \(succeeded), \(failed), \(refused)")
    guard machine.failure == nil else { return }
    if !options.watch, !isToldToStop {
      require(
        !tasks.indices.contains { isClaimable($0) } || !isCalm, "it leaves what it could claim")
    } else if hasTime {
      require(isDone, "it leaves something undone in \(now - calmAt) s")
    }
  }
}

extension OpsError {
  fileprivate static let schema = OpsError(.schemaMismatch, "no such table")
}
