import Ledger

/// Reads a command line against a table of commands. The result has only options and arguments that its
/// command declares.
struct Parser {
  /// A command line that was read.
  enum Request {
    case run(Command, Parsed)
    /// The help of one command, of those that begin with a word, or (empty) of all.
    case help([Command])
    case version
  }

  /// Options and arguments as given, by name.
  struct Parsed: Equatable, Sendable {
    var values: [String: [String]] = [:]
    var flags: Set<String> = []
    var arguments: [String] = []
  }

  let commands: [Command]

  private var words: [String] = []
  private var command: Command?
  private var parsed = Parsed()
  private var wantsHelp = false

  init(_ commands: [Command]) { self.commands = commands }

  /// - Parameter line: the arguments after the program's name.
  mutating func read(_ line: [String]) throws(OpsError) -> Request {
    var rest = line[...]
    var optionsEnded = false
    while let token = rest.popFirst() {
      if optionsEnded || !Self.looksLikeOption(token) {
        try readWord(token)
      } else if token == "--" {
        optionsEnded = true
        if command == nil { try resolve() }
      } else if token == "--version" && command == nil {
        return .version
      } else {
        try readOption(token, &rest)
      }
    }
    if wantsHelp || words.first == "help" { return .help(try helped()) }
    try resolve()
    guard let command else {
      throw .badInput("no command is given", hint: "opsledger --help lists the commands")
    }
    try check(command)
    return .run(command, parsed)
  }

  /// `-` is standard input, and `-2h` a moment: neither is an option.
  private static func looksLikeOption(_ token: String) -> Bool {
    guard token.hasPrefix("-"), let second = token.dropFirst().first else { return false }
    return !second.isNumber
  }

  private mutating func readWord(_ token: String) throws(OpsError) {
    if command != nil || words.first == "help" {
      if command == nil { words.append(token) } else { parsed.arguments.append(token) }
      return
    }
    words.append(token)
    // A first word that may begin a longer name waits for the second.
    let isPart = token == "help" || commands.contains { $0.name.hasPrefix(token + " ") }
    if words.count == 2 || !isPart { try resolve() }
  }

  /// Decides which command the words are. A second word that makes no longer name is an argument.
  private mutating func resolve() throws(OpsError) {
    guard command == nil, let first = words.first else { return }
    if words.count > 1, let found = named(words.joined(separator: " ")) {
      command = found
    } else if let found = named(first) {
      command = found
      parsed.arguments += words.dropFirst()
    } else {
      throw unknownCommand()
    }
  }

  private func named(_ name: String) -> Command? { commands.first { $0.name == name } }

  private func unknownCommand() -> OpsError {
    let typed = words.joined(separator: " ")
    let family = commands.filter { $0.name.hasPrefix((words.first ?? "") + " ") }.map(\.name)
    let list = family.isEmpty ? nil : "one of: " + family.joined(separator: ", ")
    if words.count == 1, let list {
      return .badInput("\(typed) is not a whole command", hint: list)
    }
    let near = Suggestion.nearest(to: typed, among: commands.map(\.name))
    return .badInput(
      "unknown command \(typed)",
      hint: near.map { "did you mean \($0)?" } ?? list ?? "opsledger --help lists the commands")
  }

  private mutating func readOption(
    _ token: String, _ rest: inout ArraySlice<String>
  ) throws(OpsError) {
    if token == "-h" {
      wantsHelp = true
      return
    }
    var name = token.drop { $0 == "-" }
    var given: String?
    if let equals = name.firstIndex(of: "=") {
      given = String(name[name.index(after: equals)...])
      name = name[..<equals]
    }
    let global = Command.Option.global.first { $0.name == name }
    // An option that only some commands take ends the command's name.
    if global == nil { try resolve() }
    let known = (command?.options ?? []) + Command.Option.global
    guard token.hasPrefix("--"), let option = known.first(where: { $0.name == name }) else {
      throw unknownOption(token, known)
    }
    try take(option, given, known, &rest)
  }

  private mutating func take(
    _ option: Command.Option, _ given: String?, _ known: [Command.Option],
    _ rest: inout ArraySlice<String>
  ) throws(OpsError) {
    guard let valueName = option.value else {
      guard given == nil else { throw .badInput("--\(option.name) takes no value") }
      if option.name == "help" { wantsHelp = true } else { parsed.flags.insert(option.name) }
      return
    }
    let isOption = rest.first.map { next in
      known.contains { next == "--\($0.name)" || next.hasPrefix("--\($0.name)=") } || next == "--"
    }
    guard given != nil || isOption == false, let value = given ?? rest.popFirst() else {
      throw .badInput(
        "--\(option.name) needs a value",
        hint:
          "--\(option.name) \(valueName); for a value that begins with dashes: --\(option.name)=--…"
      )
    }
    guard option.repeats || parsed.values[option.name] == nil else {
      throw .badInput("--\(option.name) is given more than once")
    }
    parsed.values[option.name, default: []].append(value)
  }

  private func unknownOption(_ token: String, _ known: [Command.Option]) -> OpsError {
    let name = String(token.prefix { $0 != "=" })
    let near = Suggestion.nearest(to: name, among: known.map { "--\($0.name)" })
    return .badInput(
      "unknown option \(name)" + (command.map { " for \($0.name)" } ?? ""),
      hint: near.map { "did you mean \($0)?" }
        ?? "opsledger \(command.map { $0.name + " " } ?? "")--help lists the options")
  }

  private func check(_ command: Command) throws(OpsError) {
    let hint = "usage: \(command.usage)"
    if let missing = command.options.first(where: {
      $0.isRequired && parsed.values[$0.name] == nil
        && $0.requiredUnless.map(parsed.flags.contains) != true
    }) {
      throw .badInput("\(command.name) needs --\(missing.name)", hint: hint)
    }
    let needed = command.arguments.filter { !$0.isOptional }
    if parsed.arguments.count < needed.count {
      throw .badInput("\(command.name) needs \(needed[parsed.arguments.count].name)", hint: hint)
    }
    let takesAll = command.arguments.last?.repeats ?? false
    if !takesAll, parsed.arguments.count > command.arguments.count {
      let extra = parsed.arguments[command.arguments.count]
      throw .badInput("\(command.name) does not take \(extra)", hint: hint)
    }
  }

  /// The commands to explain; empty for all.
  private mutating func helped() throws(OpsError) -> [Command] {
    if let command { return [command] }
    if words.first == "help" { words.removeFirst() }
    guard !words.isEmpty else { return [] }
    if let exact = named(words.joined(separator: " ")) { return [exact] }
    let family = commands.filter { ($0.name + " ").hasPrefix(words.joined(separator: " ") + " ") }
    guard family.isEmpty else { return family }
    throw unknownCommand()
  }
}

/// Guesses what a mistyped word means.
enum Suggestion {
  /// The nearest name; nil where more than two letters differ, or a third of a long name.
  static func nearest(to typed: String, among names: [String]) -> String? {
    let scored = names.map { (name: $0, distance: distance(Array(typed.utf8), Array($0.utf8))) }
    guard let best = scored.min(by: { $0.distance < $1.distance }),
      best.distance <= max(typed.utf8.count < 4 ? 1 : 2, typed.utf8.count / 3)
    else { return nil }
    return best.name
  }

  /// The number of bytes to insert, delete or change.
  static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var row = Array(0...right.count)
    for (index, byte) in left.enumerated() {
      var diagonal = row[0]
      row[0] = index + 1
      for (column, other) in right.enumerated() {
        let above = row[column + 1]
        row[column + 1] = min(diagonal + (byte == other ? 0 : 1), above + 1, row[column] + 1)
        diagonal = above
      }
    }
    return row[right.count]
  }
}
