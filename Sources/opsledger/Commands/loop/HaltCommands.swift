import Host
import JSON
import Ledger
import Log
import OpsLoop
import Replay

/// `halt`, `resume`: stopping is policy.
enum HaltCommands {
  static let all = [halt, resume]

  static let halt = Command(
    group: .loop, name: "halt", summary: "take nothing new: no events, no reactions, no steps",
    options: [.why, .key],
    notes: [
      "Running steps finish, leases are renewed and taken back. It sets policy loop, so psql can do "
        + "the same."
    ],
    examples: [.init(line: "halt --why 'the disk fills up'", meaning: "workers say so and wait")]
  ) { (call) throws(OpsError) in try set(.halted, call) }

  static let resume = Command(
    group: .loop, name: "resume", summary: "let a halted loop go on",
    options: [
      .init(name: "why", value: "W", help: "the reason, which history keeps"),
      .init(
        name: "run-again",
        help: "after restore --at: steps that have run since that moment may run once more"),
      .key,
    ],
    examples: [.init(line: "resume --why 'disk added'", meaning: "waiting workers go on at once")]
  ) { (call) throws(OpsError) in
    if !call.flag("run-again") { try requireNothingAgain(call) }
    return try set(.running, call)
  }

  /// - Throws: `OPS_017` where steps that ran would run again.
  private static func requireNothingAgain(_ call: Invocation) throws(OpsError) {
    let (moment, again) = try call.session().runAgain()
    guard again.count > 0 else { return }
    let named = again.steps.prefix(5).map(\.shown).joined(separator: "; ")
    throw OpsError(
      .halted,
      "\(Shown.count(again.count, "step")) ran after entry \(moment), to which the tables went back, "
        + "and would run again: \(named)\(again.count > 5 ? "; …" : "")",
      hint: "let them with `opsledger resume --run-again`, or end them by hand first")
  }

  private static func set(
    _ state: LoopState.State, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    let why = try call.prose("why")
    let changed = try call.engine().setLoop(state, why: why)
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.string("state", state.rawValue)
      out.bool("changed", changed)
      Output.standard.line(out.finish())
    } else {
      Output.standard.line("the loop is \(state.rawValue)" + (changed ? "" : " already"))
    }
    return .fine
  }
}
