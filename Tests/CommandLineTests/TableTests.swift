import Host
import Ledger
import TestSupport
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

  @Test("each command that a file declares is in the table")
  func complete() throws {
    let known = Set(CommandTable.all.map(\.name))
    var declared: Set<String> = []
    for file in try Repository.files(in: ["Sources/opsledger/Commands"], endingIn: ".swift") {
      for match in try Repository.read(file).matches(of: /group: \.\w+, name: "([a-z ]+)"/) {
        declared.insert(String(match.1))
      }
    }
    #expect(declared.count > 60 && declared.subtracting(known) == [])
  }

  @Test("every example is read as its command, and every page fits")
  func examples() throws {
    for command in CommandTable.all {
      #expect(!command.examples.isEmpty, "\(command.name)")
      for (line, _) in command.examples {
        // As a shell would, as far as quotes go; what it does with the result is its own matter.
        let typed = line.split(separator: " > ")[0].split(separator: " | ")[0]
        let words = typed.split(separator: "'", omittingEmptySubsequences: false)
          .enumerated().flatMap { index, part in
            index % 2 == 1 ? [String(part)] : part.split(separator: " ").map(String.init)
          }
        var parser = Parser(CommandTable.all)
        guard case .run(let read, _) = try parser.read(words) else {
          Issue.record("\(line) is not a command")
          continue
        }
        #expect(read.name == command.name, "\(line)")
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

@Suite("what every command prints with")
struct ShownTests {
  private static let now = Instant(micros: 1_795_500_028_123_456)

  @Test(
    "a time of any size is printed as what it is",
    arguments: [
      (1_795_500_028_123_456, "2026-11-24 06:00:28"), (.max, "infinity"), (.min, "-infinity"),
      (253_402_300_800_000_000, "10000-01-01 00:00:00"), (.max - 1, "294247-01-10 04:00:54"),
      (.min + 1, "-290308-12-21 19:59:05"), (0, "1970-01-01 00:00:00"),
    ] as [(Int64, String)])
  func times(micros: Int64, text: String) {
    let instant = Instant(micros: micros)
    #expect(Shown.time(instant) == text)
    #expect(Shown.fineTime(instant).hasPrefix(text))
    #expect(Shown.day(instant) == String(text.prefix { $0 != " " }))
    #expect(text.hasSuffix(Shown.clock(instant)))
    for other in [Int64.min, 0, .max, micros, 1 << 53, -(1 << 53)] {
      _ = Shown.span(from: instant, to: Instant(micros: other))
      _ = Shown.ago(instant, now: Instant(micros: other))
    }
  }

  @Test("how long ago is never less than nothing")
  func ago() {
    #expect(Shown.ago(Self.now.adding(seconds: -90), now: Self.now) == "1 min 30 s ago")
    #expect(Shown.ago(Self.now.adding(seconds: 364 * 86_400), now: Self.now) == "364 d from now")
    #expect(Shown.ago(Instant(micros: .max), now: Self.now) == "infinity")
    #expect(Shown.span(from: Self.now, to: Instant(micros: .max)) == "for ever")
  }

  @Test(
    "days are said without an exponent",
    arguments: [
      (90, "90 days"), (1, "1 day"), (0, "0 ms"), (5e-05, "4.3 s"), (1.5, "1 d 12 h"),
      (5e-12, "less than 1 ms"), (36_500, "36,500 days"), (1e300, "more than 1,000,000 days"),
      (.infinity, "more than 1,000,000 days"),
    ] as [(Double, String)])
  func days(days: Double, text: String) { #expect(Shown.days(days) == text) }

  @Test(
    "numbers are said without an exponent",
    arguments: [
      (0, "0"), (0.25, "0.25"), (5e-05, "0.00005"), (5e-12, "less than 0.000001"), (-1.5, "-1.5"),
      (1e300, "more than 1,000,000,000,000"), (.infinity, "infinity"), (-.infinity, "-infinity"),
      (.nan, "no number"), (1234.5, "1,234.5"),
      (9_223_372_036_854_775_808, "more than 1,000,000,000,000"),
    ] as [(Double, String)])
  func decimals(number: Double, text: String) { #expect(Shown.decimal(number) == text) }

  @Test("counts and sizes of any size trap nothing")
  func extremes() {
    #expect(Shown.count(Int64.min) == "-9,223,372,036,854,775,808")
    #expect(Shown.bytes(.max) == "9223372 TB")
    _ = Shown.bytes(.min)
    #expect(Shown.percent(.max, of: .max) == "100 %")
    #expect(Shown.percent(1, of: 0) == "0 %")
    #expect(Shown.brief(String(repeating: "e\u{301}", count: 5000), 80).unicodeScalars.count == 80)
  }

  @Test("no Swift printing of a number or a time is left in what commands print")
  func onePrinter() throws {
    // What prints a Double by itself may print an exponent, and what cuts a time's text may cut its year.
    let files = try Repository.files(in: ["Sources/opsledger"], endingIn: ".swift")
    #expect(files.count > 30)
    for file in files {
      let text = try FileSystem.readText(Repository.root + "/" + file)
      for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false)
        .enumerated()
      {
        for odd in [
          "description.prefix(", "description.dropFirst(", "Int(left /", "String(Int($0))",
        ] {
          #expect(!line.contains(odd), "\(file):\(number + 1)")
        }
      }
    }
  }
}

@Suite("rows wider than the terminal")
struct WideTableTests {
  @Test("no line is wider than the terminal, however narrow it is and whatever the rows hold")
  func fits() {
    let long = String(repeating: "日本\u{1B}[31m語 ", count: 1000)
    for columns in [1, 2, 5, 20, 40, 79, 80, 120] {
      var table = TextTable([
        .init(title: "ID", canShrink: false), .init(title: "STATUS", canShrink: false),
        .init(title: "CREATED (UTC)", canShrink: false),
        .init(title: "TOOK", alignsRight: true, canShrink: false), .init(title: "TITLE"),
      ])
      table.add([
        "01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f", "succeeded", "2026-11-24 06:00:28", "1.2 s",
        "short",
      ])
      table.add([
        "01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f", "running", "2026-11-24 06:00:28", "", long,
      ])
      table.add([long, long, long, long, long])
      for line in table.text(columnsMax: columns).split(separator: "\n") {
        #expect(Terminal.width(String(line)) <= max(columns, 3), "\(columns): \(line.prefix(100))")
      }
    }
  }

  @Test("a row that does not fit takes several lines, and its id stays whole")
  func wraps() {
    var table = TextTable([
      .init(title: "ID", canShrink: false), .init(title: "STATUS", canShrink: false),
      .init(title: "TITLE"),
    ])
    table.add(["01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f", "succeeded", "a title of some length"])
    table.add(["01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e40", "running", ""])
    #expect(
      table.text(columnsMax: 50) == """
        ID                                    STATUS
          TITLE
        01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f  succeeded
          a title of some length
        01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e40  running

        """)
  }

  @Test("parts of a line go on in the next one")
  func packed() {
    #expect(Shown.packed(["a", "bb", "ccc"], indent: 2, columns: 7) == "a  bb\n  ccc")
    #expect(Shown.packed(["a", "", "ccc"], indent: 2, columns: nil) == "a  ccc")
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
    expectRefusal(.badInput) { try environment.integer(.eventBatchSize) }
    expectRefusal(.badInput) { try environment.millis(.connectTimeout) }
  }

  @Test("secrets are masked")
  func masked() {
    #expect(Setting.apiKey.shown("abc") == "****")
    #expect(Setting.databaseURL.shown("postgres://u:p@h/d") == "postgres://u:****@h/d")
    #expect(Setting.eventBatchSize.shown("7") == "7")
  }
}
