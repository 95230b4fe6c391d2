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
    case "noop": return Noop(params).run(failures: claimed.failedRuns)
    case "radar": return radar(params)
    case let name:
      return .failed(.refused, error: "OPS_005: there is no executor \(name)", result: nil)
    }
  }

  private static func radar(_ params: JSON) -> StepOutcome.Result {
    do { return .radar(try Radar.Command(params: params)) } catch {
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

  init(_ params: JSON) {
    sleepMillis = min(max(params["sleep_ms"]?.intValue ?? 0, 0), Self.sleepMillisMax)
    error = params["error"]?.stringValue
    failTimes = params["fail_times"]?.intValue ?? 0
  }

  static func sleepMillis(_ step: Step) -> Int {
    Noop((try? JSON(parsing: step.params)) ?? .null).sleepMillis
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
