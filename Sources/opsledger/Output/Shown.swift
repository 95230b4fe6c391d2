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

  /// `06:00:28`, in UTC; PostgreSQL's infinities as their names.
  static func clock(_ instant: Instant) -> String {
    let text = time(instant)
    return text.lastIndex(of: " ").map { String(text[text.index(after: $0)...]) } ?? text
  }

  /// `2 h 5 min`, from one moment to another. `0 ms` where the clock was set back in between.
  static func span(from: Instant, to: Instant) -> String {
    guard from.isFinite, to.isFinite else { return "for ever" }
    return DurationText.format(
      millis: Int(clamping: max(to.seconds(since: from) * 1000, 0).rounded()))
  }

  /// `2 h 5 min ago`, `5 min from now`, or the name of an infinity.
  static func ago(_ then: Instant, now: Instant) -> String {
    guard then.isFinite, now.isFinite else { return time(then) }
    return then > now ? "\(span(from: now, to: then)) from now" : "\(span(from: then, to: now)) ago"
  }

  /// `90 days`, `4.3 s`.
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

  /// `42 %`; `0 %` of nothing.
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

  /// The first Unicode scalars of a text: a character with a thousand accents counts as a thousand.
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

  /// A sentence and a newline. On a terminal its lines are broken at spaces.
  static func prose(_ text: String, indent: Int) -> String {
    wrap(
      Terminal.printable(text), indent: indent,
      columns: Terminal.isTerminal(1) ? Terminal.columns() : Int.max)
  }

  /// Breaks a text at spaces, and adds a newline. Lines after the first are indented.
  static func wrap(_ text: String, indent: Int, columns: Int) -> String {
    lines(text, columns: columns, hanging: indent).joined(separator: "\n") + "\n"
  }

  /// Breaks a text at spaces into lines. Lines after the first begin with `hanging` spaces.
  static func lines(_ text: String, columns: Int, hanging: Int) -> [String] {
    guard Terminal.width(text) > columns else { return [text] }
    var (lines, line) = ([String](), String?.none)
    let words = text.split(separator: " ", omittingEmptySubsequences: false)
    for word in words.flatMap({ pieces(of: $0, max(1, columns - hanging)) }) {
      guard let begun = line else {
        line = String(word)
        continue
      }
      if Terminal.width(begun) + 1 + Terminal.width(String(word)) <= columns {
        line = begun + " " + word
      } else {
        lines.append(begun)
        line = String(repeating: " ", count: hanging) + word
      }
    }
    return lines + [line ?? ""]
  }

  /// A word that is longer than a line, broken into pieces.
  private static func pieces(of word: Substring, _ columns: Int) -> [Substring] {
    guard Terminal.width(String(word)) > columns else { return [word] }
    var (pieces, rest) = ([Substring](), word)
    while !rest.isEmpty {
      var (end, width) = (rest.startIndex, 0)
      while end < rest.endIndex {
        width += Terminal.width(String(rest[end]))
        if width > columns, end > rest.startIndex { break }
        end = rest.index(after: end)
      }
      pieces.append(rest[..<end])
      rest = rest[end...]
    }
    return pieces
  }

  /// Parts of a line, with two spaces between them. On a narrow terminal they take several lines.
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
  /// False for PostgreSQL's infinities.
  var isFinite: Bool { micros != .max && micros != .min }
}

extension Row {
  /// The row's columns, under the names and in the order of its table.
  func write(to out: inout JSONObjectWriter) {
    for column in Self.columns { column.get(self).write(to: &out, as: column.name) }
  }

  /// The row for people, with a line for each column that is not NULL.
  var facts: String {
    Facts.text(
      Self.columns.compactMap { column in column.get(self).printed.map { (column.name, $0) } })
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

extension Invocation {
  /// Prints a result: with `--json` the object that `json` writes, else the text.
  func print(_ text: @autoclosure () -> String, json: (inout JSONObjectWriter) -> Void) {
    if wantsJSON { return Output.standard.line(JSONObjectWriter.text(json)) }
    let text = text()
    Output.standard.write(text.isEmpty || text.hasSuffix("\n") ? text : text + "\n")
  }

  /// Prints a list: with `--json` an array of the objects that `json` writes, else a table. An empty list is a note
  /// on stderr.
  func print<Row>(
    _ rows: [Row], none: String, _ fields: [TextTable.Field<Row>],
    json: (Row, inout JSONObjectWriter) -> Void
  ) {
    if wantsJSON {
      Output.standard.line(JSONObjectWriter.list(rows, json))
    } else if rows.isEmpty {
      note(none)
    } else {
      Output.standard.write(TextTable(rows, fields).text())
    }
  }

  func print<R: Row>(_ rows: [R], none: String, _ fields: [TextTable.Field<R>]) {
    print(rows, none: none, fields) { $0.write(to: &$1) }
  }
}

extension JSONObjectWriter {
  /// The text of an object.
  static func text(_ members: (inout JSONObjectWriter) -> Void) -> String {
    var out = JSONObjectWriter()
    members(&out)
    return out.finish()
  }

  /// The text of an array of objects.
  static func list<Row>(_ rows: [Row], _ json: (Row, inout JSONObjectWriter) -> Void) -> String {
    "[" + rows.map { row in text { json(row, &$0) } }.joined(separator: ",\n ") + "]"
  }

  mutating func object(_ name: String, _ members: (inout JSONObjectWriter) -> Void) {
    raw(name, Self.text(members))
  }

  mutating func list<Row>(
    _ name: String, _ rows: [Row], _ json: (Row, inout JSONObjectWriter) -> Void
  ) {
    raw(name, Self.list(rows, json))
  }

  mutating func list(_ name: String, _ texts: [String]) {
    json(name, .array(texts.map(JSON.string)))
  }

  mutating func optional(_ name: String, _ text: String?) { json(name, .optional(text)) }

  mutating func optional(_ name: String, _ number: (some BinaryInteger)?) {
    if let number { int(name, number) } else { json(name, .null) }
  }
}

extension Dictionary where Key == String {
  var sortedByKey: [(key: String, value: Value)] { sorted { $0.key < $1.key } }
}

/// Named facts, a line each, with their values in one column.
enum Facts {
  static func text(_ facts: [(String, String)], indent: String = "") -> String {
    let width = facts.map { Terminal.width($0.0) }.max() ?? 0
    return facts.map { name, value in
      let gap = String(repeating: " ", count: width - Terminal.width(name) + 2)
      return indent + name + gap + Terminal.printable(value) + "\n"
    }.joined()
  }
}
