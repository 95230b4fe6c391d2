/// A moment of the database's clock, in microseconds since 1970 UTC.
public struct Instant: Hashable, Comparable, Sendable {
  public let micros: Int64

  public init(micros: Int64) { self.micros = micros }

  /// The time of an entry that is not allocated yet. The database replaces it by the entry's time.
  public static let allocated = Instant(micros: .max)

  public static func < (a: Instant, b: Instant) -> Bool { a.micros < b.micros }

  /// A later moment, or the last or first moment if the sum is out of range.
  public func adding(seconds: Double) -> Instant {
    let micros = Double(self.micros) + seconds * 1_000_000
    // Exact if the number is, and without a trap for an absurd number in a policy.
    guard let span = Int64(exactly: (seconds * 1_000_000).rounded(.towardZero)) else {
      return Instant(micros: micros < 0 ? .min : .max)
    }
    return adding(micros: span)
  }

  public func adding(milliseconds: Int64) -> Instant {
    let (span, overflows) = milliseconds.multipliedReportingOverflow(by: 1_000)
    return overflows ? Instant(micros: milliseconds < 0 ? .min : .max) : adding(micros: span)
  }

  private func adding(micros span: Int64) -> Instant {
    let (sum, overflows) = micros.addingReportingOverflow(span)
    return Instant(micros: overflows ? (span < 0 ? .min : .max) : sum)
  }

  /// Seconds from `earlier` to this moment.
  public func seconds(since earlier: Instant) -> Double {
    let (span, overflows) = micros.subtractingReportingOverflow(earlier.micros)
    return (overflows ? Double(micros) - Double(earlier.micros) : Double(span)) / 1_000_000
  }

  /// Whether a span of time is over at this moment. That is so after its end, and also if the clock that set the span
  /// was ahead of this one by more than the span's length: the span would otherwise last as long as the clock's error.
  public func isAfter(spanFrom start: Instant, to end: Instant) -> Bool {
    if self > end { return true }
    return start > self && end > start && start.seconds(since: self) > end.seconds(since: start)
  }

  /// The first moment of this UTC day.
  public var startOfDay: Instant {
    let day: Int64 = 86_400_000_000
    let rest = micros % day
    return Instant(micros: micros - (rest < 0 ? rest + day : rest))
  }
}

extension Instant: CustomStringConvertible {
  /// RFC 3339 in UTC with microseconds: `2026-11-24T06:00:28.000123Z`. A year above 9999 has all of its digits. Years
  /// before the year 1 are as in ISO 8601 (`-0043` is 44 BC). The extremes are PostgreSQL's infinities.
  public var description: String {
    switch micros {
    case .max: return "infinity"
    case .min: return "-infinity"
    default: break
    }
    let (days, inDay) = micros.flooredDivision(by: 86_400_000_000)
    let (year, month, day) = Instant.date(days: days)
    let seconds = inDay / 1_000_000
    return String(unsafeUninitializedCapacity: 32) { out in
      var at = 0
      func put(_ value: Int64, _ width: Int) {
        var rest = value
        for place in stride(from: width - 1, through: 0, by: -1) {
          out[at + place] = UInt8(ascii: "0") + UInt8(rest % 10)
          rest /= 10
        }
        at += width
      }
      func put(_ character: Unicode.Scalar) {
        out[at] = UInt8(ascii: character)
        at += 1
      }
      if year < 0 { put("-") }
      put(abs(year), abs(year) > 99_999 ? 6 : abs(year) > 9999 ? 5 : 4)
      put("-")
      put(month, 2)
      put("-")
      put(day, 2)
      put("T")
      put(seconds / 3600, 2)
      put(":")
      put(seconds / 60 % 60, 2)
      put(":")
      put(seconds % 60, 2)
      put(".")
      put(inDay % 1_000_000, 6)
      put("Z")
      return at
    }
  }

  /// Reads RFC 3339: a date, `T` or a space, a time with up to six digits of a fraction, and `Z`, an offset, or nothing
  /// (UTC). Nil for any other text.
  public init?(_ text: String) {
    var text = text
    let parsed = text.withUTF8 { Instant(utf8: UnsafeRawBufferPointer($0)) }
    guard let parsed else { return nil }
    self = parsed
  }

  public init?(utf8 bytes: UnsafeRawBufferPointer) {
    var at = 0
    func digits(_ count: Int) -> Int64? {
      guard at + count <= bytes.count else { return nil }
      var value: Int64 = 0
      for byte in bytes[at..<(at + count)] {
        guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
        value = value * 10 + Int64(byte - UInt8(ascii: "0"))
      }
      at += count
      return value
    }
    func skip(_ allowed: StaticString) -> UInt8? {
      guard at < bytes.count else { return nil }
      for index in 0..<allowed.utf8CodeUnitCount where allowed.utf8Start[index] == bytes[at] {
        at += 1
        return bytes[at - 1]
      }
      return nil
    }
    guard var year = digits(4) else { return nil }
    while year < 100_000, let digit = digits(1) { year = year * 10 + digit }
    guard skip("-") != nil, let month = digits(2), skip("-") != nil,
      let day = digits(2), (1...12).contains(month),
      (1...Instant.daysInMonth(year, month)).contains(day)
    else { return nil }
    var micros = Instant.days(year: year, month: month, day: day) * 86_400_000_000
    if at < bytes.count {
      guard skip("T t") != nil, let hour = digits(2), skip(":") != nil, let minute = digits(2),
        hour < 24, minute < 60
      else { return nil }
      var second: Int64 = 0
      if skip(":") != nil {
        guard let value = digits(2), value <= 60 else { return nil }
        second = value
      }
      micros += (hour * 3600 + minute * 60 + second) * 1_000_000
      if skip(".") != nil {
        var scale: Int64 = 100_000
        let start = at
        while at - start < 6, let digit = digits(1) {
          micros += digit * scale
          scale /= 10
        }
        guard at > start else { return nil }
      }
      if let sign = skip("+-") {
        guard let hours = digits(2), hours < 24 else { return nil }
        let hasColon = skip(":") != nil
        let minutes = hasColon || at < bytes.count ? digits(2) : 0
        guard let minutes, minutes < 60 else { return nil }
        let offset = (hours * 60 + minutes) * 60_000_000
        micros += sign == UInt8(ascii: "+") ? -offset : offset
      } else if at < bytes.count {
        guard skip("Zz") != nil else { return nil }
      }
    }
    guard at == bytes.count else { return nil }
    self.init(micros: micros)
  }

  private static func daysInMonth(_ year: Int64, _ month: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// - Source: "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
  static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
    let y = month <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  /// - Source: "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
  static func date(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let z = days + 719_468
    let era = (z >= 0 ? z : z - 146_096) / 146_097
    let dayOfEra = z - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return (year, month, dayOfYear - (153 * shifted + 2) / 5 + 1)
  }
}

extension Int64 {
  fileprivate func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
