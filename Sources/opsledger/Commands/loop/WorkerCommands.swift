import Glibc
import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `worker`, `worker list`: runs queued steps, and lists the workers.
enum WorkerCommands {
  static let list = Command(
    group: .loop, name: "worker list", summary: "list the workers, the most recently seen first",
    notes: [
      "A worker reports every few seconds that it runs. One that has not reported for a minute is gone."
    ],
    examples: ["worker list": "which workers run, and how many steps each has"]
  ) { (call) throws(OpsError) in
    call.print(
      try call.session().workers(), none: "no workers",
      [
        .words("NAME") { $0.name },
        .whole("STATE") { $0.isGone ? "gone" : $0.watches ? "watching" : "working" },
        .number("RUNNING") { "\($0.running) of \($0.concurrency)" },
        .number("CLAIMED") { Shown.count($0.claimed) },
        .whole("SINCE (UTC)") { Shown.time($0.startedAt) },
        .whole("SEEN (UTC)") { Shown.time($0.seenAt) },
      ], json: json)
    return .fine
  }

  private static func json(_ worker: WorkerPresence, _ out: inout JSONObjectWriter) {
    out.string("name", worker.name)
    out.string("host", worker.host)
    out.int("pid", worker.pid)
    out.bool("watches", worker.watches)
    out.int("concurrency", worker.concurrency)
    out.int("running", worker.running)
    out.int("claimed", worker.claimed)
    out.string("started_at", worker.startedAt.description)
    out.string("seen_at", worker.seenAt.description)
    out.bool("gone", worker.isGone)
  }

  static let worker = Command(
    group: .loop, name: "worker", summary: "run queued steps until no step can be claimed",
    options: [
      .flag("watch", "continue, and run steps when they are queued"),
      .value("concurrency", "N", "run at most N steps at the same time (50)"),
      .value("lease", "D", "how long a step is leased (OPS_STEP_LEASE_MINUTES)"),
    ],
    notes: [
      "The worker renews a step's lease while the step runs. If it loses the lease, it records no result (OPS_006). "
        + "After SIGTERM it finishes running steps and claims no more. If it is killed, its steps are tried again "
        + "when their leases expire."
    ],
    examples: [
      "worker": "runs the steps that are due, and prints how many succeeded",
      "worker --watch --concurrency 4": "runs for ever, four steps at a time",
    ]
  ) { (call) throws(OpsError) in
    let name = "worker/\(Machine.hostName)-\(getpid())"
    var settings = try call.loopSettings()
    if let lease = try call.millis("lease") {
      guard (1000...604_800_000).contains(lease) else {
        throw .badInput("--lease needs a duration from 1s to 7d")
      }
      settings.ownLeaseSeconds = Double(lease) / 1000
    }
    var options = Worker.Options(name: name)
    options.host = Machine.hostName
    options.pid = getpid()
    options.watch = call.flag("watch")
    options.concurrency = try call.integer("concurrency", in: 1...1000) ?? 50
    let stop = StopSignal()
    let session = try call.session()
    if options.watch { call.notePooler(session) }
    let worker = Worker(
      Engine(session, actor: try call.actor(name), settings: settings), options,
      shouldStop: { stop.isRaised }, report: { Output.messages.line(Terminal.printable($0)) })
    let watch = Stopwatch()
    let report = try run(worker, session, watching: options.watch, stop)
    let text = try call.wantsJSON ? "" : line(report, call, watch)
    call.print(text) { json(report, &$0) }
    return .fine
  }

  /// Runs the worker. With `--watch` it survives an outage of the database.
  private static func run(
    _ worker: Worker, _ session: Session, watching: Bool, _ stop: StopSignal
  ) throws(OpsError) -> WorkerReport {
    while true {
      do throws(OpsError) {
        return try worker.run()
      } catch {
        guard watching, error.mayPass, !stop.isRaised else { throw error }
        if Outage.wait(for: session, error, stop) { continue }
        Output.messages.write(error.report)
        _ = stop.sleep(millis: 2000)
      }
    }
  }

  private static func line(
    _ report: WorkerReport, _ call: Invocation, _ watch: Stopwatch
  ) throws(OpsError) -> String {
    if report.claimed == 0 {
      if let halt = report.halt {
        return Terminal.printable(try LoopCommands.haltLine(call.session(), why: halt))
      }
      guard let waiting = report.waiting else { return "No steps are queued" }
      return "No step can run now: \(waiting.queued) queued (\(reasons(waiting)))"
    }
    var text = "\(Shown.count(report.succeeded + report.failed, "attempt")) in \(watch.text): "
    text += "\(report.succeeded) succeeded, \(report.failed) failed"
    if report.refused > 0 { text += ", \(report.refused) refused" }
    if let waiting = report.waiting { text += "; \(waiting.queued) queued (\(reasons(waiting)))" }
    if let halt = report.halt { text += "; halted: \(Terminal.printable(halt))" }
    return text
  }

  /// `4 wait for an earlier step, 2 wait for paused executor openclaw, 1 not before 02:14:05`
  static func reasons(_ waiting: WaitingSteps) -> String {
    var parts: [String] = []
    func add(_ count: Int, _ text: String) { if count > 0 { parts.append("\(count) \(text)") } }
    add(waiting.behindAnother, "wait for an earlier step")
    for (name, count) in waiting.executors.sortedByKey {
      add(count, "wait for paused executor \(Terminal.printable(name))")
    }
    add(waiting.notBefore, "not before \(waiting.nextAt.map(Shown.clock) ?? "later")")
    add(waiting.missionClosed, "in a mission that has succeeded")
    add(waiting.claimable, "can run by now")
    return parts.joined(separator: ", ")
  }

  private static func json(_ report: WorkerReport, _ out: inout JSONObjectWriter) {
    out.int("claimed", report.claimed)
    out.int("succeeded", report.succeeded)
    out.int("failed", report.failed)
    out.int("refused", report.refused)
    out.optional("halted", report.halt)
    out.int("queued", report.waiting?.queued ?? 0)
    guard let waiting = report.waiting else { return }
    out.object("waiting") { reasons in
      reasons.int("earlier_step", waiting.behindAnother)
      reasons.json("executor", .object(waiting.executors.mapValues(JSON.int)))
      reasons.int("not_before", waiting.notBefore)
      reasons.optional("next_at", waiting.nextAt?.description)
      reasons.int("mission_ended", waiting.missionClosed)
      reasons.int("claimable", waiting.claimable)
    }
  }
}
