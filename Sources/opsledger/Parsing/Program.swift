import Host
import Ledger

/// From the command line to an exit code.
enum Program {
  static let version = "0.1.0"

  /// - Parameters: as `main` gets them: the program's name first.
  static func run(
    _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  ) -> Int32 {
    defer { Output.standard.flush() }
    do {
      return try obey(try line(count, arguments)).rawValue
    } catch {
      Output.standard.flush()
      Output.messages.write(error.report)
      return error.code.exitCode
    }
  }

  /// A file that is no text at all is not named line by line.
  private static func warn(of lines: [Int]) {
    for line in lines.prefix(5) {
      Output.messages.line("warning: .env, line \(line), is not NAME=value in UTF-8; skipped")
    }
    if lines.count > 5 {
      Output.messages.line("warning: and \(lines.count - 5) more lines of .env")
    }
  }

  /// Bytes that are no text are refused: repaired ones would name something else.
  private static func line(
    _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  ) throws(OpsError) -> [String] {
    var line: [String] = []
    for index in 1..<max(1, Int(count)) {
      guard let bytes = arguments[index] else { continue }
      guard let text = String(validatingCString: bytes) else {
        throw .badInput("argument \(index) is not UTF-8 text")
      }
      line.append(text)
    }
    return line
  }

  private static func obey(_ line: [String]) throws(OpsError) -> ExitStatus {
    Secrets.keepOutOfMessages(line)
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
      warn(of: environment.unreadableLines)
      Secrets.keepOutOfMessages(environment)
      return try command.run(Invocation(command, parsed, environment))
    }
    return .fine
  }
}
