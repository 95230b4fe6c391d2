import Host
import Ledger

/// From the command line to an exit code.
enum Program {
  static let version = "0.1.0"

  /// - Parameter line: the arguments after the program's name.
  static func run(_ line: [String]) -> Int32 {
    defer { Output.standard.flush() }
    do {
      return try obey(line).rawValue
    } catch {
      Output.standard.flush()
      Output.messages.write(error.report)
      return error.code.exitCode
    }
  }

  private static func obey(_ line: [String]) throws(OpsError) -> ExitStatus {
    var parser = Parser(CommandTable.all)
    switch try parser.read(line) {
    case .version:
      Output.standard.line("opsledger \(version)")
    case .help(let commands):
      let columns = min(100, Terminal.columns())
      Output.standard.write(
        commands.count == 1
          ? Help.page(commands[0], columns: columns)
          : Help.overview(commands.isEmpty ? CommandTable.all : commands, columns: columns))
    case .run(let command, let parsed):
      let environment = try onHost { () throws(HostError) in try Environment.load() }
      for line in environment.unreadableLines {
        Output.messages.line("warning: .env, line \(line), is not NAME=value; skipped")
      }
      return try command.run(Invocation(command, parsed, environment))
    }
    return .fine
  }
}
