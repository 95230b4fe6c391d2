import Glibc
import JSON
import Ledger

/// What a step can be run by.
enum Executors {
  /// What each does, by its name.
  static let summaries = [
    "noop": "does nothing, as well or as badly as its params say",
    "radar": "adds to the radar, changes it, or lists it",
  ]
  /// The names that a template may use.
  static let names = Set(summaries.keys)

  /// Runs a step to its end, on whichever thread calls.
  ///
  static func run(_ claimed: ClaimedStep) -> StepOutcome.Result {
    let step = claimed.step
    // Queued again by hand.
    if step.isErased {
      return .failed(.refused, error: step.erased.description, result: nil)
    }
    let params = (try? JSON(parsing: step.params)) ?? .null
    switch step.executor ?? step.kind {
    case "noop":
      return refusing { () throws(OpsError) in try Noop(params).run(failures: claimed.failedRuns) }
    case "radar":
      return refusing { () throws(OpsError) in .radar(try Radar.Command(params: params)) }
    case let name:
      return .failed(.refused, error: "OPS_005: there is no executor \(name)", result: nil)
    }
  }

  /// What an executor does not understand of its params fails the attempt.
  private static func refusing(
    _ run: () throws(OpsError) -> StepOutcome.Result
  ) -> StepOutcome.Result {
    do { return try run() } catch {
      return .failed(.refused, error: error.description, result: nil)
    }
  }

  /// Whether running the step takes no time worth a thread.
  static func isInstant(_ step: Step) -> Bool {
    guard step.executor ?? step.kind == "noop" else { return true }
    return !step.params.utf8.contains(UInt8(ascii: "_")) || Noop.sleepMillis(step) == 0
  }
}

/// The executor that does nothing, as well or as badly as it is told.
private struct Noop {
  static let sleepMillisMax = 3_600_000

  private let sleepMillis: Int
  private let error: String?
  private let failTimes: Int

  /// - Throws: `OPS_004` that names the field.
  init(_ params: JSON) throws(OpsError) {
    sleepMillis = min(try Self.count("sleep_ms", in: params), Self.sleepMillisMax)
    failTimes = try Self.count("fail_times", in: params)
    error = params["error"]?.stringValue
    if error == nil, let other = params["error"], other != .null {
      throw Self.wrong("error", "text")
    }
  }

  private static func count(_ field: String, in params: JSON) throws(OpsError) -> Int {
    guard let value = params[field], value != .null else { return 0 }
    guard let count = value.intValue, count >= 0 else {
      throw wrong(field, "a whole number of at least 0")
    }
    return count
  }

  private static func wrong(_ field: String, _ expected: String) -> OpsError {
    OpsError(.templateInvalid, "noop: \(field) is not \(expected)", facts: ["path": field])
  }

  static func sleepMillis(_ step: Step) -> Int {
    (try? Noop((try? JSON(parsing: step.params)) ?? .null).sleepMillis) ?? 0
  }

  func run(failures: Int) -> StepOutcome.Result {
    if sleepMillis > 0 { usleep(UInt32(sleepMillis) * 1000) }
    if let error { return .failed(.exit, error: "OPS_007: \(error)", result: nil) }
    if failures < failTimes {
      return .failed(
        .exit, error: "OPS_007: told to fail \(failTimes) times, this was number \(failures + 1)",
        result: nil)
    }
    return .succeeded(#"{"ok": true, "note": "noop executor"}"#)
  }
}
