import Host

/// Rows in aligned columns, for people. On a terminal the widest columns are cut, and where that does not suffice
/// each row takes several lines. No line is wider than the terminal. In a pipe nothing is cut, since a script may be
/// reading it.
struct TextTable {
  struct Column {
    var title: String
    var alignsRight = false
    /// Whether it may be cut where the terminal is too narrow.
    var canShrink = true
  }

  /// A column with the function that gives a row's cell.
  struct Field<Row> {
    var column: Column
    var cell: (Row) -> String

    /// Words, which may be cut.
    static func words(_ title: String, _ cell: @escaping (Row) -> String) -> Field {
      Field(column: Column(title: title), cell: cell)
    }

    /// An id, a status or a time: never cut.
    static func whole(_ title: String, _ cell: @escaping (Row) -> String) -> Field {
      Field(column: Column(title: title, canShrink: false), cell: cell)
    }

    static func number(_ title: String, _ cell: @escaping (Row) -> String) -> Field {
      Field(column: Column(title: title, alignsRight: true, canShrink: false), cell: cell)
    }
  }

  private let columns: [Column]
  private var rows: [[String]] = []

  init(_ columns: [Column]) { self.columns = columns }

  init<Row>(_ rows: some Sequence<Row>, _ fields: [Field<Row>]) {
    self.init(fields.map(\.column))
    for row in rows { add(fields.map { $0.cell(row) }) }
  }

  mutating func add(_ cells: [String]) {
    precondition(cells.count == columns.count, "a row has \(columns.count) cells")
    rows.append(cells.map(Terminal.printable))
  }

  /// - Parameter columnsMax: The terminal's width; nil for no limit.
  func text(columnsMax: Int? = Terminal.isTerminal(1) ? Terminal.columns() : nil) -> String {
    var widths = columns.indices.map { index in
      rows.reduce(Terminal.width(columns[index].title)) { max($0, Terminal.width($1[index])) }
    }
    var groups = [Array(columns.indices)]
    if let columnsMax {
      let natural = widths
      shrink(&widths, to: columnsMax - 2 * (columns.count - 1))
      if widths.reduce(0, +) + 2 * (columns.count - 1) > columnsMax {
        widths = natural
        groups = Self.pack(&widths, columnsMax)
      }
    }
    return block(columns.map(\.title), widths, groups, isHead: true)
      + rows.map { block($0, widths, groups) }.joined()
  }

  /// Divides the columns among several lines. Lines after the first are indented by two.
  private static func pack(_ widths: inout [Int], _ columnsMax: Int) -> [[Int]] {
    var groups: [[Int]] = []
    var left = 0
    for index in widths.indices {
      widths[index] = min(widths[index], max(1, columnsMax - (groups.isEmpty ? 0 : 2)))
      if groups.isEmpty || left < widths[index] + 2 {
        groups.append([index])
        left = columnsMax - (groups.count > 1 ? 2 : 0) - widths[index]
      } else {
        groups[groups.count - 1].append(index)
        left -= widths[index] + 2
      }
    }
    return groups
  }

  /// A row: a line for each group of columns in which a cell is not empty.
  private func block(
    _ cells: [String], _ widths: [Int], _ groups: [[Int]], isHead: Bool = false
  ) -> String {
    var text = ""
    for (number, group) in groups.enumerated() {
      if groups.count > 1, !isHead, group.allSatisfy({ cells[$0].isEmpty }) { continue }
      text += (number > 0 ? "  " : "") + line(group.map { cells[$0] }, group, widths) + "\n"
    }
    return text
  }

  /// Narrows the widest column first, so that narrow ones stay whole.
  private func shrink(_ widths: inout [Int], to room: Int) {
    var excess = widths.reduce(0, +) - room
    while excess > 0 {
      let candidates = columns.indices.filter { columns[$0].canShrink && widths[$0] > 8 }
      guard let widest = candidates.max(by: { widths[$0] < widths[$1] }) else { return }
      widths[widest] -= 1
      excess -= 1
    }
  }

  private func line(_ cells: [String], _ group: [Int], _ widths: [Int]) -> String {
    var text = ""
    for (place, (index, cell)) in zip(group, cells).enumerated() {
      let shown = Self.cut(cell, to: widths[index])
      let gap = String(repeating: " ", count: max(0, widths[index] - Terminal.width(shown)))
      text += (place > 0 ? "  " : "") + (columns[index].alignsRight ? gap + shown : shown + gap)
    }
    while text.last == " " { text.removeLast() }
    return text
  }

  private static func cut(_ text: String, to columns: Int) -> String {
    guard Terminal.width(text) > columns else { return text }
    var kept = ""
    var width = 0
    for character in text {
      width += Terminal.width(String(character))
      guard width < columns else { break }
      kept.append(character)
    }
    return kept + "…"
  }
}
