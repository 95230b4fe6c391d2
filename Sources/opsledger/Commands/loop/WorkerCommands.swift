import Glibc
import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `worker`, `worker list`: runs what is queued, and says who does.
enum WorkerCommands {
  static let list = Command(
    group: .loop, name: "worker list", summary: "list the workers, the last heard of first",
    notes: [
      "A worker says every few seconds that it is there; one not heard of for a minute is gone."
    ],
    examples: [.init(line: "worker list", meaning: "who works, and on how much")]
  ) { (call) throws(OpsError) in
    let workers = try call.session().workers()
    if call.wantsJSON {
      Output.standard.line("[" + workers.map(json).joined(separator: ",\n ") + "]")
      return .fine
    }
    guard !workers.isEmpty else {
      call.note("no workers")
      return .fine
    }
    var table = TextTable([
      .init(title: "NAME"), .init(title: "STATE", canShrink: false),
      .init(title: "RUNNING", alignsRight: true, canShrink: false),
      .init(title: "CLAIMED", alignsRight: true, canShrink: false),
      .init(title: "SINCE (UTC)", canShrink: false),
      .init(title: "HEARD OF (UTC)", canShrink: false),
    ])
    for worker in workers {
      table.add([
        worker.name, worker.isGone ? "gone" : worker.watches ? "watching" : "working",
        "\(worker.running) of \(worker.concurrency)", Shown.count(worker.claimed),
        Shown.time(worker.startedAt), Shown.time(worker.seenAt),
      ])
    }
    Output.standard.write(table.text())
    return .fine
  }

  private static func json(_ worker: WorkerPresence) -> String {
    var out = JSONObjectWriter()
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
    return out.finish()
  }

  static let worker = Command(
    group: .loop, name: "worker", summary: "run queued steps until none can be claimed",
    options: [
      .init(name: "watch", help: "go on, and run steps as they come"),
      .init(name: "concurrency", value: "N", help: "steps at the same time, at most (50)"),
      .init(name: "lease", value: "D", help: "how long a step is ours (OPS_STEP_LEASE_MINUTES)"),
    ],
    notes: [
      "A lease is renewed while its step runs. A worker that lost one records nothing (OPS_006). "
        + "SIGTERM lets running steps finish and takes no others; a worker that is killed loses "
        + "nothing, its steps are tried again when their leases run out."
    ],
    examples: [
      .init(line: "worker", meaning: "run what can be run now, and say what it came to"),
      .init(line: "worker --watch --concurrency 4", meaning: "for ever, four at a time"),
    ]
  ) { (call) throws(OpsError) in
    let name = "worker/\(Machine.hostName)-\(getpid())"
    var settings = try call.loopSettings()
    if let lease = try call.millis("lease") {
      guard (1000...604_800_000).contains(lease) else {
        throw .badInput("--lease wants a time from 1s to 7d")
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
    if call.wantsJSON {
      Output.standard.line(json(report))
    } else {
      Output.standard.line(try line(report, call, watch))
    }
    return .fine
  }

  /// A worker that watches outlives a database that is away for a while.
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
      guard let waiting = report.waiting else { return "No queued steps" }
      return "Nothing claimable: \(waiting.queued) queued (\(reasons(waiting)))"
    }
    var text = "\(Shown.count(report.succeeded + report.failed, "attempt")) in \(watch.text): "
    text += "\(report.succeeded) succeeded, \(report.failed) failed"
    if report.refused > 0 { text += ", \(report.refused) refused" }
    if let waiting = report.waiting {
      text += "; \(waiting.queued) queued (\(reasons(waiting)))"
    }
    if let halt = report.halt { text += "; halted: \(Terminal.printable(halt))" }
    return text
  }

  /// `4 wait for an earlier step, 2 executor openclaw paused, 1 not before 02:14:05`
  static func reasons(_ waiting: WaitingSteps) -> String {
    var parts: [String] = []
    func add(_ count: Int, _ text: String) { if count > 0 { parts.append("\(count) \(text)") } }
    add(waiting.behindAnother, "wait for an earlier step")
    for (name, count) in waiting.executors.sorted(by: { $0.key < $1.key }) {
      add(count, "executor \(Terminal.printable(name)) paused")
    }
    add(waiting.notBefore, "not before \(waiting.nextAt.map(Shown.clock) ?? "later")")
    add(waiting.missionClosed, "of a mission that has succeeded")
    add(waiting.claimable, "claimable by now")
    return parts.joined(separator: ", ")
  }

  private static func json(_ report: WorkerReport) -> String {
    var out = JSONObjectWriter()
    out.int("claimed", report.claimed)
    out.int("succeeded", report.succeeded)
    out.int("failed", report.failed)
    out.int("refused", report.refused)
    out.json("halted", .optional(report.halt))
    guard let waiting = report.waiting else {
      out.int("queued", 0)
      return out.finish()
    }
    out.int("queued", waiting.queued)
    var reasons = JSONObjectWriter()
    reasons.int("earlier_step", waiting.behindAnother)
    reasons.json("executor", .object(waiting.executors.mapValues(JSON.int)))
    reasons.int("not_before", waiting.notBefore)
    reasons.json("next_at", .optional(waiting.nextAt?.description))
    reasons.int("mission_ended", waiting.missionClosed)
    reasons.int("claimable", waiting.claimable)
    out.raw("waiting", reasons.finish())
    return out.finish()
  }
}
