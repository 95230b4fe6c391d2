import Glibc

/// Measures time with the monotonic clock.
public struct Stopwatch: Sendable {
  private let beganNanos = Stopwatch.nowNanos

  public init() {}

  public var elapsedMillis: Int { (Self.nowNanos - beganNanos) / 1_000_000 }

  /// `3 ms`, `1.2 s`, `3 min`.
  public var text: String { DurationText.format(millis: elapsedMillis) }

  /// Milliseconds of the monotonic clock. Only differences have a meaning.
  public static var nowMillis: Int { nowNanos / 1_000_000 }

  static var nowNanos: Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1_000_000_000 + now.tv_nsec
  }
}

/// Durations in the form that people read and write.
public enum DurationText {
  /// `3 ms`, `1.2 s`, `3 min`, `2 h 5 min`, `3 d 4 h`; with a minus sign if it is negative.
  public static func format(millis: Int) -> String {
    if millis < 0 { return "-" + format(millis: millis == .min ? .max : -millis) }
    let seconds = millis / 1000
    switch millis {
    case ..<1000: return "\(millis) ms"
    case ..<60_000: return "\(seconds).\(millis % 1000 / 100) s"
    case ..<3_600_000: return pair(seconds / 60, "min", seconds % 60, "s")
    case ..<86_400_000: return pair(seconds / 3600, "h", seconds / 60 % 60, "min")
    default: return pair(seconds / 86_400, "d", seconds / 3600 % 24, "h")
    }
  }

  /// The same for any number: `less than 1 ms`, and `for ever` for more than a count of milliseconds can hold.
  public static func format(seconds: Double) -> String {
    let millis = (seconds * 1000).rounded()
    if seconds != 0, millis == 0 { return "less than 1 ms" }
    guard millis.magnitude < 9e18 else { return "for ever" }
    return format(millis: Int(clamping: millis))
  }

  /// Milliseconds of `500ms`, `30s`, `5m`, `2h`, `1d`, or nil. A number alone is in `unit`.
  public static func parseMillis(_ text: String, unit: String = "s") -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let rest = text.dropFirst(digits.count)
    guard let count = Int(digits) else { return nil }
    let factor: Int
    switch rest.isEmpty ? unit : String(rest) {
    case "ms": factor = 1
    case "s": factor = 1000
    case "m", "min": factor = 60_000
    case "h": factor = 3_600_000
    case "d": factor = 86_400_000
    default: return nil
    }
    let (millis, overflow) = count.multipliedReportingOverflow(by: factor)
    return overflow ? nil : millis
  }

  private static func pair(_ large: Int, _ unit: String, _ small: Int, _ part: String) -> String {
    small == 0 ? "\(large) \(unit)" : "\(large) \(unit) \(small) \(part)"
  }
}

extension Int {
  /// The whole part of a number, or the nearest integer; 0 for NaN.
  public init(clamping number: Double) {
    self =
      number.isNaN ? 0 : Int(exactly: number.rounded(.towardZero)) ?? (number < 0 ? .min : .max)
  }
}
