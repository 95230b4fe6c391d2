import Host
import JSON
import Ledger

/// How values look to people.
enum Shown {
  /// `2026-11-24 06:00:28`, in UTC; PostgreSQL's infinities as their names.
  static func time(_ instant: Instant?) -> String {
    instant.map { time($0, fractionDigits: 0) } ?? ""
  }

  /// `2026-11-24 06:00:28.123`, in UTC.
  static func fineTime(_ instant: Instant) -> String { time(instant, fractionDigits: 3) }

  private static func time(_ instant: Instant, fractionDigits: Int) -> String {
    let text = instant.description
    guard let dot = text.lastIndex(of: ".") else { return text }
    let kept = text[dot...].prefix(fractionDigits == 0 ? 0 : fractionDigits + 1)
    return String((text[..<dot] + kept).map { $0 == "T" ? " " : $0 })
  }

  /// `2026-11-24`, in UTC.
  static func day(_ instant: Instant) -> String { String(time(instant).prefix { $0 != " " }) }

  /// `06:00:28`, in UTC; of infinity its name.
  static func clock(_ instant: Instant) -> String {
    let text = time(instant)
    return text.lastIndex(of: " ").map { String(text[text.index(after: $0)...]) } ?? text
  }

  /// `2 h 5 min`, from one moment to another; no time where the clock was set back in between.
  static func span(from: Instant, to: Instant) -> String {
    guard from.isFinite, to.isFinite else { return "for ever" }
    return DurationText.format(
      millis: Int(clamping: max(to.seconds(since: from) * 1000, 0).rounded()))
  }

  /// `2 h 5 min ago`; of a moment that a clock has not reached yet, or never will, that.
  static func ago(_ then: Instant, now: Instant) -> String {
    guard then.isFinite, now.isFinite else { return time(then) }
    return then > now ? "\(span(from: now, to: then)) from now" : "\(span(from: then, to: now)) ago"
  }

  /// `after 90 days`, `after 4.3 s`.
  static func days(_ days: Double) -> String {
    guard days < 1_000_000 else { return "more than 1,000,000 days" }
    return days >= 1 && days == days.rounded()
      ? count(Int(clamping: days), "day") : DurationText.format(seconds: days * 86_400)
  }

  /// A number with up to six digits after its point, and never with an exponent.
  static func decimal(_ number: Double) -> String {
    guard number.isFinite else {
      return number.isNaN ? "no number" : number < 0 ? "-infinity" : "infinity"
    }
    if number < 0 { return "-" + decimal(-number) }
    if number >= 1e12 { return "more than 1,000,000,000,000" }
    if number > 0, number < 0.000001 { return "less than 0.000001" }
    let millionths = Int(clamping: (number * 1_000_000).rounded())
    var fraction = String(millionths % 1_000_000 + 1_000_000).dropFirst()
    while fraction.last == "0" { fraction.removeLast() }
    return count(millionths / 1_000_000) + (fraction.isEmpty ? "" : "." + fraction)
  }

  /// `42 %`; nothing is no part of anything.
  static func percent(_ part: Int, of whole: Int) -> String {
    whole <= 0 ? "0 %" : "\(Int(clamping: 100 * Double(part) / Double(whole))) %"
  }

  /// `1,234,567`.
  static func count(_ number: some BinaryInteger) -> String {
    var digits = Array(String(number))
    var at = digits.count - 3
    while at > 0, digits[at - 1] != "-" {
      digits.insert(",", at: at)
      at -= 3
    }
    return String(digits)
  }

  /// `1 step`, `2,000 steps`.
  static func count(_ number: some BinaryInteger, _ one: String, _ many: String? = nil) -> String {
    "\(count(number)) \(number == 1 ? one : many ?? one + "s")"
  }

  /// `1.5 MB`, in powers of 1000.
  static func bytes(_ count: Int64) -> String {
    var (value, unit) = (Double(count), "B")
    for larger in ["kB", "MB", "GB", "TB"] where value >= 1000 {
      (value, unit) = (value / 1000, larger)
    }
    let tenths = Int(clamping: (value * 10).rounded())
    return unit == "B" || value >= 100
      ? "\(Int(value)) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
  }

  /// The first so many characters. A character with a thousand accents counts as a thousand.
  static func brief(_ text: String?, _ charactersMax: Int = 80) -> String {
    guard let text else { return "" }
    let scalars = text.unicodeScalars
    guard
      let end = scalars.index(
        scalars.startIndex, offsetBy: charactersMax, limitedBy: scalars.endIndex),
      end != scalars.endIndex
    else { return text }
    return String(scalars[..<scalars.index(before: end)]) + "…"
  }

  /// A sentence with the end of its line, on a terminal broken at spaces.
  static func prose(_ text: String, indent: Int) -> String {
    let text = Terminal.printable(text)
    return Terminal.isTerminal(1)
      ? Help.wrap(text, indent: indent, columns: Terminal.columns()) : text + "\n"
  }

  /// Parts of a line, two spaces between them. On a terminal that is too narrow for all of them the others follow on
  /// further lines.
  static func packed(
    _ parts: [String], indent: Int,
    columns: Int? = Terminal.isTerminal(1) ? Terminal.columns() : nil
  ) -> String {
    let margin = String(repeating: " ", count: indent)
    var (text, width) = ("", 0)
    for part in parts where !part.isEmpty {
      let own = Terminal.width(part)
      if text.isEmpty {
        (text, width) = (part, own)
      } else if let columns, width + 2 + own > columns {
        text += "\n" + margin + part
        width = indent + own
      } else {
        text += "  " + part
        width += 2 + own
      }
    }
    return text
  }
}

extension Instant {
  /// False of PostgreSQL's infinities.
  var isFinite: Bool { micros != .max && micros != .min }
}

extension Row {
  /// The row as JSON text, under its table's column names and in their order.
  var json: String {
    var out = JSONObjectWriter()
    for column in Self.columns { column.get(self).write(to: &out, as: column.name) }
    return out.finish()
  }
}

extension Value {
  func write(to out: inout JSONObjectWriter, as name: String) {
    switch self {
    case .null: out.json(name, .null)
    case .int(let number): out.int(name, number)
    case .text(let text): out.string(name, text)
    case .uuid(let id): out.string(name, id.description)
    case .time(let instant): out.string(name, instant.description)
    case .json(let text): out.raw(name, text)
    case .ints(let numbers): out.json(name, .array(numbers.map(JSON.int)))
    }
  }
}

/// Prints rows: all of them as one JSON array, or what `table` makes of each.
func printRows<R: Row>(
  _ rows: [R], _ call: Invocation, none: String, _ table: (inout TextTable, R) -> Void,
  columns: [TextTable.Column]
) {
  if call.wantsJSON {
    Output.standard.line("[" + rows.map(\.json).joined(separator: ",\n ") + "]")
    return
  }
  if rows.isEmpty { return call.note(none) }
  var text = TextTable(columns)
  for row in rows { table(&text, row) }
  Output.standard.write(text.text())
}

/// Prints one row: as a JSON object, or a line a column.
func printRow<R: Row>(_ row: R, _ call: Invocation) {
  if call.wantsJSON { return Output.standard.line(row.json) }
  var names: [(String, String)] = []
  for column in R.columns {
    guard let value = column.get(row).printed else { continue }
    names.append((column.name, value))
  }
  Output.standard.write(Facts.text(names))
}

/// Named facts, a line each, their values under one another.
enum Facts {
  static func text(_ facts: [(String, String)], indent: String = "") -> String {
    let width = facts.map { Terminal.width($0.0) }.max() ?? 0
    return facts.map { name, value in
      let gap = String(repeating: " ", count: width - Terminal.width(name) + 2)
      return indent + name + gap + Terminal.printable(value) + "\n"
    }.joined()
  }
}
