import Host

/// Help texts, made from the table of commands.
enum Help {
  /// The overview of all commands.
  static func overview(_ commands: [Command], columns: Int) -> String {
    var text = """
      opsledger records what autonomous agents do, and who decided it, on PostgreSQL

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

      exit codes: 0 done, 1 the answer is no, 2 the command line is wrong,
      3 the database or a store cannot be reached
      opsledger help COMMAND explains a command; try opsledger demo first

      """
    return text
  }

  /// The page of one command.
  static func page(_ command: Command, columns: Int) -> String {
    var text = Shown.wrap("\(command.name): \(command.summary)", indent: 2, columns: columns) + "\n"
    text += Shown.wrap("usage: \(command.usage)", indent: 7, columns: columns)
    for note in command.notes { text += "\n" + Shown.wrap(note, indent: 0, columns: columns) }
    if !command.examples.isEmpty {
      text += "\nexamples\n"
      for (line, meaning) in command.examples {
        text +=
          "  opsledger \(line)\n" + Shown.wrap("      " + meaning, indent: 6, columns: columns)
      }
    }
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
    return text + "\nopsledger --help lists the options for every command\n"
  }

  private static func list(_ options: [Command.Option], columns: Int) -> String {
    let width = options.map { Terminal.width($0.head) }.max() ?? 0
    return options.map { entry($0.head, $0.help, width: width, columns: columns) }.joined()
  }

  private static func entry(_ head: String, _ help: String, width: Int, columns: Int) -> String {
    let gap = String(repeating: " ", count: width - Terminal.width(head) + 2)
    return Shown.wrap("  " + head + gap + help, indent: width + 4, columns: columns)
  }
}
