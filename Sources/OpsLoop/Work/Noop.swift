import Glibc
import JSON
import Ledger

/// The executor that does nothing, and succeeds, fails or waits as its params say.
public struct Noop: Executor {
  public static let name = "noop"
  static let summary = "does nothing, and succeeds, fails or waits as its params say"
  static let ownTexts = ["noop executor"]
  /// The result of each step that succeeds.
  public static let result = #"{"ok": true, "note": "noop executor"}"#

  /// A claim counts the failed runs of steps whose params have this field.
  static let failTimesField = "fail_times"
  private static let sleepMillisMax = 3_600_000

  private let sleepMillis: Int
  private let error: String?
  private let failTimes: Int

  init(params: JSON) throws(OpsError) {
    sleepMillis = min(try Self.count("sleep_ms", in: params), Self.sleepMillisMax)
    failTimes = try Self.count(Self.failTimesField, in: params)
    error = params["error"]?.stringValue
    if error == nil, let other = params["error"], other != .null {
      throw .wrongParam("error", isNot: "text")
    }
  }

  private static func count(_ field: String, in params: JSON) throws(OpsError) -> Int {
    guard let value = params[field], value != .null else { return 0 }
    guard let count = value.intValue, count >= 0 else {
      throw .wrongParam(field, isNot: "a whole number of at least 0")
    }
    return count
  }

  var isInstant: Bool { sleepMillis == 0 }

  func run(failedRuns: Int) -> StepOutcome.Result {
    if sleepMillis > 0 { usleep(UInt32(sleepMillis) * 1000) }
    if let error { return .failed(.exit, error: "OPS_007: \(error)", result: nil) }
    if failedRuns < failTimes {
      return .failed(
        .exit, error: "OPS_007: told to fail \(failTimes) times, this was number \(failedRuns + 1)",
        result: nil)
    }
    return .succeeded(Self.result)
  }
}
