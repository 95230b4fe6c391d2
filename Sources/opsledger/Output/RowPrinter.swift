import Host
import JSON
import Postgres

/// Prints rows of a query as they arrive: as `psql --csv` does, or as one JSON array of objects.
struct RowPrinter {
  private let wantsJSON: Bool
  /// A terminal gets no control characters. A pipe gets the rows as they are.
  private let isForTerminal = Terminal.isTerminal(1)
  private var columns: [TextQuery.Column] = []
  private var count = 0

  init(json: Bool) { wantsJSON = json }

  mutating func begin(_ columns: [TextQuery.Column]) { self.columns = columns }

  /// Printed with the first row or at the end: a query that fails at once prints nothing.
  private func printHead() {
    if wantsJSON {
      Output.standard.write("[")
    } else {
      Output.standard.line(
        columns.map { Self.field(isForTerminal ? Terminal.printable($0.name) : $0.name) }.joined(
          separator: ","))
    }
  }

  mutating func print(_ row: borrowing TextQuery.Row) {
    if count == 0 { printHead() }
    defer { count += 1 }
    if wantsJSON {
      var out = JSONObjectWriter()
      for (index, column) in columns.enumerated() {
        Self.write(row[index], column, to: &out)
      }
      return Output.standard.write((count == 0 ? "" : ",\n ") + out.finish())
    }
    var line = ""
    for index in columns.indices {
      if index > 0 { line += "," }
      line += row[index].map { Self.field(isForTerminal ? Terminal.printable($0) : $0) } ?? ""
    }
    Output.standard.line(line)
  }

  func end() {
    if count == 0 { printHead() }
    if wantsJSON { Output.standard.line("]") }
  }

  /// - Source: PostgreSQL, src/fe_utils/print.c, `csv_print_field`: quotes a field that holds a separator, a quote or
  ///   the end of a line, and `\.`.
  static func field(_ text: String) -> String {
    let isSpecial = text.utf8.contains { $0 == 0x2C || $0 == 0x22 || $0 == 0x0A || $0 == 0x0D }
    guard isSpecial || text == "\\." else { return text }
    var quoted = "\""
    for character in text.unicodeScalars {
      if character == "\"" { quoted.unicodeScalars.append("\"") }
      quoted.unicodeScalars.append(character)
    }
    return quoted + "\""
  }

  /// Numbers, booleans and json as JSON, everything else as a string, as PostgreSQL prints it.
  private static func write(
    _ text: String?, _ column: TextQuery.Column, to out: inout JSONObjectWriter
  ) {
    guard let text else { return out.json(column.name, .null) }
    switch column.type {
    case .bool: out.bool(column.name, text == "t")
    case .int2, .int4, .int8: out.raw(column.name, text)
    case .json, .jsonb: out.raw(column.name, text)
    case .float8 where Self.isFinite(text), .numeric where Self.isFinite(text):
      out.raw(column.name, text)
    default: out.string(column.name, text)
    }
  }

  /// JSON has no `NaN` and no `Infinity`.
  private static func isFinite(_ text: String) -> Bool {
    text.utf8.last.map { (0x30...0x39).contains($0) } ?? false
  }
}
