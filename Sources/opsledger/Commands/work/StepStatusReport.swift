import Host
import JSON
import Ledger
import Log
import OpsLoop

/// Why a queued step may not run, and its attempts.
struct StepStatusReport {
  let story: StepStory
  let policies: Policies
  /// The version of policy worker_policy that paused its executor; nil where none did.
  let pause: PolicyVersion?
  /// `Halted since …`; nil where the loop runs.
  let halt: String?

  init(_ story: StepStory, _ engine: Engine) throws(OpsError) {
    self.story = story
    policies = try engine.policies()
    let name = story.step.executor ?? story.step.kind
    pause =
      policies.worker.value?.blockedExecutors.contains(name) == true
      ? try engine.pause(of: name) : nil
    halt = try policies.halt.map { (why) throws(OpsError) in
      try LoopCommands.haltLine(engine.session, why: why)
    }
  }

  /// Why a queued step may not run now. Nil where it may, or is not queued.
  var obstacle: String? {
    let step = story.step
    guard step.phase == .queued else { return nil }
    if let halt { return halt }
    guard let mission = story.mission else { return "its mission does not exist" }
    if mission.status == .succeeded { return "its mission has succeeded" }
    if let needed = story.needed.first(where: { $0.status != .succeeded }) {
      return "it waits for step \(needed.ordinal ?? 0), which is \(Self.word(needed))"
    }
    if let reason = executorObstacle { return reason }
    let due = step.notBefore ?? step.createdAt
    if due > story.now { return "not before \(Shown.time(due)) UTC" }
    return nil
  }

  private var executorObstacle: String? {
    let name = story.step.executor ?? story.step.kind
    if let error = policies.worker.error {
      return "policy worker_policy is broken: \(error.message)"
    }
    guard let policy = policies.worker.value else { return nil }
    if policy.allowedExecutors?.contains(name) == false {
      return "executor \(name) is not in allowed_executors of policy worker_policy"
    }
    guard policy.blockedExecutors.contains(name) else { return nil }
    guard let pause else { return "executor \(name) is paused" }
    let why = pause.why.map { ": \($0)" } ?? ""
    return "executor \(name) is paused by \(pause.actor) since \(Shown.time(pause.at))\(why)"
  }

  static func word(_ step: Step) -> String {
    switch step.phase {
    case .dead: "dead"
    case .skipped: "skipped"
    case .queued, .running, .succeeded, .inconsistent: step.status.rawValue
    }
  }

  // MARK: For people

  var facts: [(String, String)] {
    let step = story.step
    var facts: [(String, String)] = []
    switch step.phase {
    case .queued:
      facts.append(("runs", obstacle.map { "not now: \($0)" } ?? "as soon as a worker is free"))
    case .dead:
      facts.append(
        (
          "dead letter",
          "after \(Shown.count(step.failureCount, "attempt")); `opsledger step retry` queues it again"
        ))
    case .skipped: facts.append(("skipped", step.lastError ?? "another step failed"))
    case .inconsistent(let why): facts.append(("inconsistent", why))
    case .running, .succeeded: break
    }
    for (index, run) in story.runs.enumerated() {
      facts.append(("attempt \(story.runs.count - index)", Self.line(run)))
    }
    return facts
  }

  private static func line(_ run: Run) -> String {
    var text = "\(run.status.rawValue), started \(Shown.time(run.startedAt))"
    if let end = run.completedAt {
      text += ", took \(Shown.span(from: run.startedAt, to: end))"
    }
    let meta = run.meta.flatMap { try? JSON(parsing: $0) } ?? .null
    if let name = meta["class"]?.stringValue { text += ", \(name)" }
    return text + (run.error.map { ": \(Shown.brief($0, 200))" } ?? "")
  }

  // MARK: For programs

  /// The row, and members with its obstacle and its attempts.
  func json(_ out: inout JSONObjectWriter) {
    story.step.write(to: &out)
    out.optional("mission_status", story.mission?.status.rawValue)
    out.optional("obstacle", obstacle)
    out.list("runs", story.runs) { $0.write(to: &$1) }
  }
}
