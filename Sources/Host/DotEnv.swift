/// The `.env` file of a worker's directory.
///
/// Each line is `NAME=value`, perhaps after `export`. A `#` at the start of a line or after a space begins a comment.
/// Single quotes keep the text as it is. Double quotes know `\n \r \t \" \\ \$` and may span lines. Nothing is
/// expanded.
public struct DotEnv: Equatable, Sendable {
  public var values: [String: String] = [:]
  /// Lines (from 1) of another form. They are skipped, since other programs may use the file too.
  public var unreadableLines: [Int] = []
  /// Names whose last value is on such a line, with the line. Their values are unknown.
  public var unreadableNames: [String: Int] = [:]

  /// Whether some bytes of the file were not UTF-8 and were replaced.
  private var isRepaired = false

  /// Reads a file's bytes. A line that is not UTF-8 is skipped, as other unreadable lines are.
  public init(bytes: [UInt8]) {
    if let text = String(validating: bytes, as: UTF8.self) {
      self.init(text)
    } else {
      self.init(String(decoding: bytes, as: UTF8.self), isRepaired: true)
    }
  }

  public init(_ text: String) { self.init(text, isRepaired: false) }

  private init(_ text: String, isRepaired: Bool) {
    self.isRepaired = isRepaired
    var rest = Substring(text)
    if rest.first == "\u{FEFF}" { rest.removeFirst() }
    var line = 1
    while !rest.isEmpty {
      let began = line
      if !readLine(&rest, &line) { unreadableLines.append(began) }
    }
  }

  /// Reads one assignment, with all lines that its quotes span.
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
    unreadableNames[String(name)] = line
    guard let value = Self.value(&rest, &line), isText(value) else { return false }
    unreadableNames[String(name)] = nil
    values[String(name)] = value
    return true
  }

  /// A variable cannot hold the character 0, and a value with replaced bytes would be another value.
  private func isText(_ value: String) -> Bool {
    !value.unicodeScalars.contains { $0 == "\0" || isRepaired && $0 == "\u{FFFD}" }
  }

  /// - Returns: Nil if quotes are not closed, or if something follows them.
  private static func value(_ rest: inout Substring, _ line: inout Int) -> String? {
    guard let quote = rest.first, quote == "\"" || quote == "'" else {
      return bare(rest.prefix { !$0.isNewline })
    }
    var attempt = rest.dropFirst()
    var newlines = 0
    guard let value = quoted(&attempt, by: quote, &newlines) else { return nil }
    (rest, line) = (attempt, line + newlines)
    let after = rest.prefix { !$0.isNewline }.drop { $0 == " " || $0 == "\t" }
    return after.isEmpty || after.first == "#" ? value : nil
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
