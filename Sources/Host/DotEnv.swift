/// The `.env` file that the runbook has people keep beside the worker.
///
/// One `NAME=value` a line, `export` in front allowed; `#` begins a comment at the start of a line
/// or after a space; single quotes keep the text as it is, double quotes know `\n \r \t \" \\ \$`
/// and may span lines. Nothing is expanded: a value that looks like a program is only a text.
public struct DotEnv: Equatable, Sendable {
  public var values: [String: String] = [:]
  /// Lines (from 1) that are none of it. They are skipped: the file is other programs' too.
  public var unreadableLines: [Int] = []

  public init(_ text: String) {
    var rest = Substring(text)
    if rest.first == "\u{FEFF}" { rest.removeFirst() }
    var line = 1
    while !rest.isEmpty {
      let began = line
      if !readLine(&rest, &line) { unreadableLines.append(began) }
    }
  }

  /// Takes one assignment, and with it the lines that its quotes span.
  private mutating func readLine(_ rest: inout Substring, _ line: inout Int) -> Bool {
    defer {
      rest = rest.drop { !$0.isNewline }.dropFirst()
      line += 1
    }
    rest = rest.drop { $0 == " " || $0 == "\t" }
    guard let first = rest.first, first != "#", !first.isNewline else { return true }
    if rest.hasPrefix("export ") { rest = rest.dropFirst(7).drop { $0 == " " } }
    let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
    rest = rest.dropFirst(name.count).drop { $0 == " " || $0 == "\t" }
    guard let start = name.first, !start.isNumber, rest.first == "=" else { return false }
    rest = rest.dropFirst().drop { $0 == " " || $0 == "\t" }
    guard let quote = rest.first, quote == "\"" || quote == "'" else {
      values[String(name)] = Self.bare(rest.prefix { !$0.isNewline })
      return true
    }
    var attempt = rest.dropFirst()
    var newlines = 0
    guard let value = Self.quoted(&attempt, by: quote, &newlines) else { return false }
    (rest, line) = (attempt, line + newlines)
    let after = rest.prefix { !$0.isNewline }.drop { $0 == " " || $0 == "\t" }
    guard after.isEmpty || after.first == "#" else { return false }
    values[String(name)] = value
    return true
  }

  private static func bare(_ text: Substring) -> String {
    var kept = Substring()
    var before: Character = " "
    for index in text.indices {
      if text[index] == "#" && (before == " " || before == "\t") { break }
      before = text[index]
      kept = text[...index]
    }
    while let last = kept.last, last == " " || last == "\t" { kept.removeLast() }
    return String(kept)
  }

  private static func quoted(
    _ rest: inout Substring, by quote: Character, _ newlines: inout Int
  ) -> String? {
    var value = ""
    while let character = rest.popFirst() {
      if character == quote { return value }
      if character.isNewline { newlines += 1 }
      guard character == "\\" && quote == "\"", let next = rest.popFirst() else {
        value.append(character)
        continue
      }
      switch next {
      case "n": value.append("\n")
      case "r": value.append("\r")
      case "t": value.append("\t")
      case "\"", "\\", "$": value.append(next)
      default:
        value.append("\\")
        value.append(next)
        if next.isNewline { newlines += 1 }
      }
    }
    return nil
  }
}
