import Ledger
import Testing

@testable import opsledger

@Suite("a command line")
struct ParserTests {
  private static func command(
    _ name: String, arguments: [Command.Argument] = [], options: [Command.Option] = []
  ) -> Command {
    Command(
      group: .work, name: name, summary: "does \(name)", arguments: arguments, options: options
    ) { (_) throws(OpsError) in .fine }
  }

  private static let commands = [
    command("init"),
    command(
      "worker",
      options: [.init(name: "watch", help: ""), .init(name: "lease", value: "D", help: "")]),
    command("worker list"),
    command(
      "proposal approve", arguments: [.init(name: "ID", help: "")],
      options: [.init(name: "why", value: "W", help: "", isRequired: true)]),
    command("state at", arguments: [.init(name: "WHEN", help: "")]),
    command(
      "db psql",
      arguments: [.init(name: "ARGUMENT", help: "", isOptional: true, repeats: true)]),
  ]

  private func read(_ line: String...) throws(OpsError) -> (name: String, Parser.Parsed) {
    var parser = Parser(Self.commands)
    switch try parser.read(line) {
    case .run(let command, let parsed): return (command.name, parsed)
    case .help(let commands):
      return ("help " + commands.map(\.name).joined(separator: ","), Parser.Parsed())
    case .version: return ("version", Parser.Parsed())
    }
  }

  private func refusal(_ line: String...) -> String {
    var parser = Parser(Self.commands)
    do {
      _ = try parser.read(line)
      return "accepted"
    } catch {
      #expect(error.code == .badInput)
      return error.message + (error.hint.map { "; " + $0 } ?? "")
    }
  }

  @Test("options for every command may stand before it, in it and after it")
  func globalOptions() throws {
    for line in [
      ["--json", "proposal", "approve", "7", "--why", "w"],
      ["proposal", "--json", "approve", "7", "--why", "w"],
      ["proposal", "approve", "--why=w", "7", "--json"],
    ] {
      var parser = Parser(Self.commands)
      guard case .run(let command, let parsed) = try parser.read(line) else {
        Issue.record("no command")
        continue
      }
      #expect(command.name == "proposal approve")
      #expect(parsed == .init(values: ["why": ["w"]], flags: ["json"], arguments: ["7"]))
    }
    #expect(try read("--store", "a", "init", "--store=b").1.values == ["store": ["a", "b"]])
  }

  @Test("the longest name wins, and a word that makes none is an argument")
  func names() throws {
    #expect(try read("worker", "list").0 == "worker list")
    #expect(try read("worker", "--watch").0 == "worker")
    #expect(try read("worker").0 == "worker")
    #expect(refusal("worker", "lost").hasPrefix("worker does not take lost"))
  }

  @Test("after -- everything is an argument")
  func end() throws {
    #expect(
      try read("db", "psql", "--json", "--", "-c", "--json").1
        == .init(flags: ["json"], arguments: ["-c", "--json"]))
    #expect(try read("state", "at", "-2h").1.arguments == ["-2h"])
    #expect(try read("state", "at", "-").1.arguments == ["-"])
  }

  @Test("what is missing, too much or unknown is named, with what to do")
  func refusals() {
    #expect(refusal() == "no command is given; opsledger --help lists the commands")
    #expect(refusal("inti") == "unknown command inti; did you mean init?")
    #expect(
      refusal("proposal") == "proposal is not a whole command; one of: proposal approve")
    #expect(
      refusal("proposal", "aprove", "7") == "unknown command proposal aprove; did you mean "
        + "proposal approve?")
    #expect(
      refusal("worker", "--wach") == "unknown option --wach for worker; did you mean --watch?")
    #expect(refusal("--watch", "worker").hasPrefix("unknown option --watch"))
    #expect(refusal("worker", "-x").hasPrefix("unknown option -x for worker"))
    #expect(
      refusal("proposal", "approve", "7").hasPrefix("proposal approve needs --why; usage: "))
    #expect(refusal("proposal", "approve", "--why", "w").hasPrefix("proposal approve needs ID"))
    #expect(refusal("init", "x").hasPrefix("init does not take x"))
    #expect(refusal("worker", "--lease").hasPrefix("--lease needs a value"))
    #expect(refusal("worker", "--lease", "--watch").hasPrefix("--lease needs a value"))
    #expect(refusal("worker", "--watch=1") == "--watch takes no value")
    #expect(refusal("worker", "--lease=1", "--lease", "2") == "--lease is given more than once")
  }

  @Test("a value may be anything, given with =")
  func values() throws {
    #expect(
      try read("proposal", "approve", "7", "--why=--json=1").1.values["why"] == ["--json=1"])
    #expect(try read("proposal", "approve", "7", "--why=").1.values["why"] == [""])
    #expect(try read("proposal", "approve", "7", "--why", "-1 is fine").1.arguments == ["7"])
  }

  @Test("help is of one command, of a family or of all")
  func help() throws {
    #expect(try read("--help").0 == "help ")
    #expect(try read("help").0 == "help ")
    #expect(try read("help", "worker", "list").0 == "help worker list")
    #expect(try read("worker", "list", "-h").0 == "help worker list")
    #expect(try read("proposal", "approve", "--help").0 == "help proposal approve")
    #expect(try read("proposal", "--help").0 == "help proposal approve")
    #expect(refusal("help", "nothing").hasPrefix("unknown command nothing"))
    #expect(try read("--version").0 == "version")
  }
}
