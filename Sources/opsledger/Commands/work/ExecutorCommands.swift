import Host
import JSON
import Ledger
import OpsLoop

/// `executor list|pause|resume`.
enum ExecutorCommands {
  static let all = [list, pause, resume]

  private static let name = Command.Argument(
    name: "NAME", help: "one of: " + Executors.names.sorted().joined(separator: ", "))

  static let list = Command(
    group: .work, name: "executor list",
    summary: "list the executors, whether they may run, and what waits for them",
    examples: [.init(line: "executor list", meaning: "who paused one, since when and why")]
  ) { (call) throws(OpsError) in
    let executors = try Engine(try call.session(), actor: "executor list").executors()
    if call.wantsJSON {
      Output.standard.line("[" + executors.map(json).joined(separator: ",\n ") + "]")
      return .fine
    }
    var table = TextTable([
      .init(title: "NAME", canShrink: false), .init(title: "STATE"),
      .init(title: "QUEUED", alignsRight: true, canShrink: false),
      .init(title: "RUNNING", alignsRight: true, canShrink: false), .init(title: "WHAT IT DOES"),
    ])
    for executor in executors {
      table.add([
        executor.name, text(executor.state), Shown.count(executor.queued),
        Shown.count(executor.running), executor.summary,
      ])
    }
    Output.standard.write(table.text())
    return .fine
  }

  static func text(_ state: ExecutorStatus.State) -> String {
    switch state {
    case .running: "running"
    case .notAllowed: "not in allowed_executors"
    case .unknown(let error): "stopped: \(error)"
    case .paused(let by, let since, let why):
      "paused" + (by.map { " by \($0)" } ?? "") + (since.map { " since \(Shown.time($0))" } ?? "")
        + (why.map { ": \($0)" } ?? "")
    }
  }

  static func json(_ executor: ExecutorStatus) -> String {
    var out = JSONObjectWriter()
    out.string("name", executor.name)
    out.string("summary", executor.summary)
    switch executor.state {
    case .running: out.string("state", "running")
    case .notAllowed: out.string("state", "not_allowed")
    case .unknown: out.string("state", "stopped")
    case .paused(let by, let since, let why):
      out.string("state", "paused")
      out.json("paused_by", .optional(by))
      out.json("paused_at", .optional(since?.description))
      out.json("why", .optional(why))
    }
    out.int("queued", executor.queued)
    out.int("running", executor.running)
    return out.finish()
  }

  static let pause = change("pause", isPaused: true, "let an executor start no more steps")
  static let resume = change("resume", isPaused: false, "let a paused executor go on")

  private static func change(_ verb: String, isPaused: Bool, _ summary: String) -> Command {
    Command(
      group: .work, name: "executor \(verb)", summary: summary, arguments: [name],
      options: [.why, .key],
      notes: [
        "It edits blocked_executors of policy worker_policy, so psql can do the same. Steps that run "
          + "finish. Where nothing would change, nothing is recorded."
      ],
      examples: [
        .init(
          line: "executor \(verb) \(RadarExecutor.name) --why 'its source is down'",
          meaning: "history keeps why")
      ]
    ) { (call) throws(OpsError) in
      let name = call.argument(0)
      let why = try call.prose("why")
      let changed = try call.engine().pauseExecutor(name, isPaused, why: why)
      let state = isPaused ? "paused" : "running"
      if call.wantsJSON {
        var out = JSONObjectWriter()
        out.string("executor", name)
        out.string("state", state)
        out.bool("changed", changed)
        Output.standard.line(out.finish())
      } else {
        Output.standard.line("executor \(name) is \(state)" + (changed ? "" : " already"))
      }
      return .fine
    }
  }
}
