import Host
import JSON
import Ledger

/// How values look to people.
enum Shown {
  /// `2026-11-24 06:00:28`, in UTC.
  static func time(_ instant: Instant?) -> String {
    guard let instant else { return "" }
    return String(instant.description.prefix(19).map { $0 == "T" ? " " : $0 })
  }

  /// `2026-11-24 06:00:28.123`, in UTC.
  static func fineTime(_ instant: Instant) -> String {
    String(instant.description.prefix(23).map { $0 == "T" ? " " : $0 })
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
    let tenths = Int((value * 10).rounded())
    return unit == "B" || value >= 100
      ? "\(Int(value)) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
  }

  /// The first so many characters, on one line.
  static func brief(_ text: String?, _ charactersMax: Int = 80) -> String {
    guard let text else { return "" }
    return text.count <= charactersMax ? text : text.prefix(charactersMax - 1) + "…"
  }
}

extension Noun {
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
func printRows<N: Noun>(
  _ rows: [N], _ call: Invocation, none: String, _ table: (inout TextTable, N) -> Void,
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
func printRow<N: Noun>(_ row: N, _ call: Invocation) {
  if call.wantsJSON { return Output.standard.line(row.json) }
  var names: [(String, String)] = []
  for column in N.columns {
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
