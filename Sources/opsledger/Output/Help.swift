import Host

/// Help, made from the table of commands.
enum Help {
  /// The overview of all commands.
  static func overview(_ commands: [Command], columns: Int) -> String {
    var text = """
      opsledger: an operations ledger for autonomous agents, on PostgreSQL

      usage: opsledger [--database URL] [--store DIR|s3://…]… [--json] COMMAND

      """
    let width = commands.map { Terminal.width($0.name) }.max() ?? 0
    for group in Command.Group.allCases {
      let members = commands.filter { $0.group == group }
      guard !members.isEmpty else { continue }
      text += "\n\(group.rawValue)\n"
      for command in members {
        text += entry(command.name, command.summary, width: width, columns: columns)
      }
    }
    text += "\nfor every command\n"
    text += list(Command.Option.global, columns: columns)
    text += """

      exit codes: 0 fine, 1 the answer is no, 2 no such command, 3 out of reach
      opsledger help COMMAND says more about one

      """
    return text
  }

  /// All about one command.
  static func page(_ command: Command, columns: Int) -> String {
    var text = wrap("\(command.name): \(command.summary)", indent: 2, columns: columns) + "\n"
    text += wrap("usage: \(command.usage)", indent: 7, columns: columns)
    if !command.arguments.isEmpty {
      text += "\narguments\n"
      let width = command.arguments.map { Terminal.width($0.name) }.max() ?? 0
      for argument in command.arguments {
        text += entry(argument.name, argument.help, width: width, columns: columns)
      }
    }
    if !command.options.isEmpty {
      text += "\noptions\n" + list(command.options, columns: columns)
    }
    for note in command.notes { text += "\n" + wrap(note, indent: 0, columns: columns) }
    if !command.examples.isEmpty {
      text += "\nexamples\n"
      for example in command.examples {
        text += "  opsledger \(example.line)\n"
        text += wrap("      " + example.meaning, indent: 6, columns: columns)
      }
    }
    return text + "\nopsledger --help lists the options for every command\n"
  }

  private static func list(_ options: [Command.Option], columns: Int) -> String {
    let heads = options.map { option in
      option.value.map { "--\(option.name) \($0)" } ?? "--\(option.name)"
    }
    let width = heads.map(Terminal.width).max() ?? 0
    return zip(heads, options).map { head, option in
      entry(head, option.help, width: width, columns: columns)
    }.joined()
  }

  private static func entry(_ head: String, _ help: String, width: Int, columns: Int) -> String {
    let gap = String(repeating: " ", count: width - Terminal.width(head) + 2)
    return wrap("  " + head + gap + help, indent: width + 4, columns: columns)
  }

  /// Breaks a text at spaces; lines after the first are indented. Ends with a newline.
  static func wrap(_ text: String, indent: Int, columns: Int) -> String {
    let margin = String(repeating: " ", count: indent)
    var lines: [String] = []
    var rest = Substring(text)
    while Terminal.width(String(rest)) > columns {
      let limit = rest.index(rest.startIndex, offsetBy: columns)
      let floor = rest.index(rest.startIndex, offsetBy: min(indent + 1, rest.count))
      guard floor < limit, let space = rest[floor..<limit].lastIndex(of: " ") else { break }
      lines.append(String(rest[..<space]))
      rest = margin + rest[rest.index(after: space)...]
    }
    lines.append(String(rest))
    return lines.joined(separator: "\n") + "\n"
  }
}
