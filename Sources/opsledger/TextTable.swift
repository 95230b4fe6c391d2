import Host

/// Rows in aligned columns, for people. On a terminal the widest columns give way; in a pipe nothing
/// is cut, since a script may be reading it.
struct TextTable {
  struct Column {
    var title: String
    var alignsRight = false
    /// Whether it may be cut where the terminal is too narrow.
    var canShrink = true
  }

  var columns: [Column]
  private var rows: [[String]] = []

  init(_ columns: [Column]) { self.columns = columns }

  /// All columns to the left, and cut where there is no room.
  init(_ titles: String...) { columns = titles.map { Column(title: $0) } }

  var isEmpty: Bool { rows.isEmpty }

  mutating func add(_ cells: [String]) {
    precondition(cells.count == columns.count, "a row has \(columns.count) cells")
    rows.append(cells.map(Terminal.printable))
  }

  /// - Parameter columnsMax: width to keep to, or nil for as wide as it gets.
  func text(columnsMax: Int? = Terminal.isTerminal(1) ? Terminal.columns() : nil) -> String {
    var widths = columns.indices.map { index in
      rows.reduce(Terminal.width(columns[index].title)) { max($0, Terminal.width($1[index])) }
    }
    if let columnsMax { shrink(&widths, to: columnsMax - 2 * (columns.count - 1)) }
    let lines = [columns.map(\.title)] + rows
    return lines.map { line($0, widths) + "\n" }.joined()
  }

  /// Takes from the widest column first, so that narrow ones (ids, statuses) stay whole.
  private func shrink(_ widths: inout [Int], to room: Int) {
    var excess = widths.reduce(0, +) - room
    while excess > 0 {
      let candidates = columns.indices.filter { columns[$0].canShrink && widths[$0] > 8 }
      guard let widest = candidates.max(by: { widths[$0] < widths[$1] }) else { return }
      widths[widest] -= 1
      excess -= 1
    }
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    var text = ""
    for (index, cell) in cells.enumerated() {
      let shown = Self.cut(cell, to: widths[index])
      let gap = String(repeating: " ", count: max(0, widths[index] - Terminal.width(shown)))
      text += (index > 0 ? "  " : "") + (columns[index].alignsRight ? gap + shown : shown + gap)
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
