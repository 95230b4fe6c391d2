import Host
import JSON
import Ledger
import Log
import OpsLoop
import Replay

/// `halt`, `resume`: set policy loop.
enum HaltCommands {
  static let all = [halt, resume]

  static let halt = Command(
    group: .loop, name: "halt",
    summary: "stop the loop: no new agent events, reactions or steps are processed",
    options: [.why, .key],
    notes: [
      "Running steps finish; leases are still renewed, and taken back when they expire. halt sets policy loop, "
        + "so psql can do the same."
    ],
    examples: ["halt --why 'the disk fills up'": "workers print the reason and wait"]
  ) { (call) throws(OpsError) in try set(.halted, call) }

  static let resume = Command(
    group: .loop, name: "resume", summary: "start a halted loop again",
    options: [
      .whyOptional,
      .flag("run-again", "after restore --at: allow steps that ran since that moment to run again"),
      .key,
    ],
    examples: ["resume --why 'disk added'": "waiting workers continue at once"]
  ) { (call) throws(OpsError) in
    if !call.flag("run-again") { try requireNothingAgain(call) }
    return try set(.running, call)
  }

  /// - Throws: `OPS_017` where steps that ran before a restore would run again.
  private static func requireNothingAgain(_ call: Invocation) throws(OpsError) {
    let (moment, again) = try call.session().runAgain()
    guard again.count > 0 else { return }
    let named = again.steps.prefix(5).map(\.shown).joined(separator: "; ")
    throw OpsError(
      .halted,
      "the tables were restored to entry \(moment). \(Shown.count(again.count, "step")) ran after it "
        + "and would run again: \(named)\(again.count > 5 ? "; …" : "")",
      hint: "allow that with `opsledger resume --run-again`, or end the steps with SQL first")
  }

  private static func set(
    _ state: LoopState.State, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    let why = try call.prose("why")
    let changed = try call.engine().setLoop(state, why: why)
    call.print("the loop is \(state.rawValue)" + (changed ? "" : " already")) { out in
      out.string("state", state.rawValue)
      out.bool("changed", changed)
    }
    return .fine
  }
}
