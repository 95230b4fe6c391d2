import Host
import JSON
import Ledger
import OpsLoop

/// `executor list|pause|resume`: the programs that run steps.
enum ExecutorCommands {
  static let all = [list, pause, resume]

  private static let name = Command.Argument(
    name: "NAME", help: "one of: " + Executors.names.sorted().joined(separator: ", "))

  static let list = Command(
    group: .work, name: "executor list",
    summary: "list the executors, whether they may run, and their steps",
    examples: ["executor list": "which executors are paused, by whom and why?"]
  ) { (call) throws(OpsError) in
    let executors = try Engine(try call.session(), actor: "executor list").executors()
    call.print(
      executors, none: "no executors",
      [
        .whole("NAME") { $0.name }, .words("STATE") { text($0.state) },
        .number("QUEUED") { Shown.count($0.queued) },
        .number("RUNNING") { Shown.count($0.running) }, .words("WHAT IT DOES") { $0.summary },
      ], json: json)
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

  static func json(_ executor: ExecutorStatus, _ out: inout JSONObjectWriter) {
    out.string("name", executor.name)
    out.string("summary", executor.summary)
    switch executor.state {
    case .running: out.string("state", "running")
    case .notAllowed: out.string("state", "not_allowed")
    case .unknown: out.string("state", "stopped")
    case .paused(let by, let since, let why):
      out.string("state", "paused")
      out.optional("paused_by", by)
      out.optional("paused_at", since?.description)
      out.optional("why", why)
    }
    out.int("queued", executor.queued)
    out.int("running", executor.running)
  }

  static let pause = change("pause", isPaused: true, "stop an executor from starting steps")
  static let resume = change("resume", isPaused: false, "let a paused executor start steps again")

  private static func change(_ verb: String, isPaused: Bool, _ summary: String) -> Command {
    Command(
      group: .work, name: "executor \(verb)", summary: summary, arguments: [name],
      options: [.why, .key],
      notes: [
        "It edits blocked_executors of policy worker_policy, so psql can do the same. Running steps finish. If nothing "
          + "changes, nothing is recorded."
      ],
      examples: [
        "executor \(verb) \(RadarExecutor.name) --why 'its source is \(isPaused ? "down" : "back")'":
          "policy history worker_policy shows the reason"
      ]
    ) { (call) throws(OpsError) in
      let name = call.argument(0)
      let why = try call.prose("why")
      let changed = try call.engine().pauseExecutor(name, isPaused, why: why)
      let state = isPaused ? "paused" : "running"
      call.print("executor \(name) is \(state)" + (changed ? "" : " already")) { out in
        out.string("executor", name)
        out.string("state", state)
        out.bool("changed", changed)
      }
      return .fine
    }
  }
}
