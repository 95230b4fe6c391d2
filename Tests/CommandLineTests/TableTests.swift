import Host
import Ledger
import Testing

@testable import opsledger

@Suite("the table of commands")
struct CommandTableTests {
  @Test("names and options are unique, and what is said is short")
  func unique() {
    let names = CommandTable.all.map(\.name)
    #expect(Set(names).count == names.count)
    for command in CommandTable.all {
      let options = (command.options + Command.Option.global).map(\.name)
      #expect(Set(options).count == options.count, "\(command.name)")
      #expect(!command.summary.hasSuffix("."), "\(command.name)")
      #expect(command.arguments.dropLast().allSatisfy { !$0.repeats }, "\(command.name)")
    }
  }

  @Test("every example is read as its command, and every page fits")
  func examples() throws {
    for command in CommandTable.all {
      #expect(!command.examples.isEmpty, "\(command.name)")
      for example in command.examples {
        // As a shell would, as far as quotes go; what it does with the result is its own matter.
        let typed = example.line.split(separator: " > ")[0].split(separator: " | ")[0]
        let words = typed.split(separator: "'", omittingEmptySubsequences: false)
          .enumerated().flatMap { index, part in
            index % 2 == 1 ? [String(part)] : part.split(separator: " ").map(String.init)
          }
        var parser = Parser(CommandTable.all)
        guard case .run(let read, _) = try parser.read(words) else {
          Issue.record("\(example.line) is no command")
          continue
        }
        #expect(read.name == command.name, "\(example.line)")
      }
      for line in Help.page(command, columns: 80).split(separator: "\n")
      where !line.hasPrefix("  opsledger ") {
        #expect(Terminal.width(String(line)) <= 80, "\(line)")
      }
    }
    for line in Help.overview(CommandTable.all, columns: 80).split(separator: "\n") {
      #expect(Terminal.width(String(line)) <= 80, "\(line)")
    }
  }
}

@Suite("rows for people")
struct TextTableTests {
  private var table: TextTable {
    var table = TextTable([
      .init(title: "ID"), .init(title: "ROWS", alignsRight: true), .init(title: "WHY"),
    ])
    table.add(["a", "1", "short"])
    table.add(["b", "20", "a reason that goes on\nand on"])
    return table
  }

  @Test("columns are aligned, and nothing is cut where no terminal is")
  func whole() {
    #expect(
      table.text(columnsMax: nil) == """
        ID  ROWS  WHY
        a      1  short
        b     20  a reason that goes on\\nand on

        """)
  }

  @Test("on a narrow terminal the widest column gives way")
  func narrow() {
    #expect(
      table.text(columnsMax: 24) == """
        ID  ROWS  WHY
        a      1  short
        b     20  a reason that…

        """)
  }
}

@Suite("settings of the command line")
struct SettingTests {
  @Test("defaults are the runbook's")
  func defaults() throws {
    let environment = Environment(process: [:])
    #expect(try environment.integer(.eventBatchSize) == 50)
    #expect(try environment.integer(.reactionBatchSize) == 50)
    #expect(try environment.integer(.stepLeaseMinutes) == 5)
    #expect(try environment.integer(.workerMaxRetries) == 3)
    #expect(try environment.integer(.staleStepMinutes) == 15)
    #expect(try environment.millis(.connectTimeout) == 5000)
    #expect(try environment.text(.store) == nil)
  }

  @Test("what is no number, or no time, is refused by name")
  func refused() {
    let environment = Environment(
      process: ["OPS_EVENT_BATCH_SIZE": "many", "OPS_CONNECT_TIMEOUT": "soon"])
    #expect(throws: OpsError.self) { try environment.integer(.eventBatchSize) }
    #expect(throws: OpsError.self) { try environment.millis(.connectTimeout) }
  }

  @Test("secrets are masked")
  func masked() {
    #expect(Setting.apiKey.shown("abc") == "****")
    #expect(Setting.databaseURL.shown("postgres://u:p@h/d") == "postgres://u:****@h/d")
    #expect(Setting.eventBatchSize.shown("7") == "7")
  }
}
