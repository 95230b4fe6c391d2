import Host
import Ledger

/// Runs a command line, and gives its exit code.
enum Program {
  static let version = "0.1.0"

  /// - Parameters: `argc` and `argv` of `main`.
  static func run(
    _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  ) -> Int32 {
    defer { Output.standard.flush() }
    do {
      return try run(try line(count, arguments)).rawValue
    } catch {
      Output.standard.flush()
      Output.messages.write(error.report)
      return error.code.exitCode
    }
  }

  /// Names at most five lines: a binary file has many.
  private static func warn(of lines: [Int]) {
    for line in lines.prefix(5) {
      Output.messages.line(
        "warning: skipped line \(line) of .env, which is not NAME=value in UTF-8")
    }
    if lines.count > 5 {
      Output.messages.line("warning: skipped \(lines.count - 5) more lines of .env")
    }
  }

  /// Refuses bytes that are not UTF-8: replaced by others, they would name something else.
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

  private static func run(_ line: [String]) throws(OpsError) -> ExitStatus {
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
