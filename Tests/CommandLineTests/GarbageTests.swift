import Host
import TestLedgers
import Testing

@testable import opsledger

/// Whatever is typed, each command answers with a code of its own, and never falls.
@Suite("Wrong input", .needsServer)
struct GarbageTests {
  private static let garbage = [
    "", "--", "-1", "99999999999999999999", "{", "@/no/such/file", "\u{1b}[31m'; --",
    String(repeating: "a", count: 100_000),
  ]

  /// What would run on, or start a server of its own.
  private static let left = Set(["demo", "db start", "db psql", "db stop"])

  private static func lines(of command: Command) -> [[String]] {
    let words = command.name.split(separator: " ").map(String.init)
    var lines: [[String]] = []
    for text in garbage {
      let arguments = command.arguments.map { _ in text }
      // Watching ends at once where the option's value is refused, and else never.
      let options = command.options.filter { $0.value != nil && $0.name != "every" }
      let filled = options.flatMap { ["--\($0.name)", text] }
      lines.append(words + arguments)
      lines.append(words + filled + arguments)
    }
    lines.append(words + ["too", "many", "of", "them", "here"])
    lines.append(words + command.options.compactMap { $0.value == nil ? nil : "--\($0.name)" })
    return lines
  }

  @Test(
    "each command refuses what it cannot read, with a code", arguments: CommandTable.all.map(\.name)
  )
  func each(name: String) throws {
    guard !Self.left.contains(name),
      let command = CommandTable.all.first(where: { $0.name == name })
    else { return }
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      for line in Self.lines(of: command) {
        let answer = try opsledger.run(line, timeoutMillis: 600_000)
        let shown = line.map { $0.prefix(40) }
        let code = try #require(answer.code, "\(shown) fell: \(answer.errors.suffix(300))")
        #expect((0...3).contains(code), "\(shown)")
        if code != 0, answer.output.isEmpty {
          #expect(answer.errors.contains("OPS_0"), "\(shown): \(answer.errors.prefix(300))")
        }
      }
    }
  }
}
