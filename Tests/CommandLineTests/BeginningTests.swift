import Host
import Postgres
import TestLedgers
import TestSupport
import Testing

/// What the program says of a database that holds no ledger yet, or something else.
@Suite(.needsServer)
struct BeginningTests {
  /// In the documented order.
  private static func schema() throws -> String {
    let groups = FileSystem.names(in: "\(Repository.root)/schema/functions").sorted()
    return try (["migrations"] + groups.map { "functions/\($0)" } + ["views", "guards"]).flatMap {
      folder in
      FileSystem.names(in: "\(Repository.root)/schema/\(folder)").sorted()
        .filter { $0.hasSuffix(".sql") }.map { "schema/\(folder)/\($0)" }
    }.map(Repository.read).joined(separator: "\n")
  }

  @Test("a schema that psql laid is no ledger before init has begun it")
  func applied() throws {
    try TestLedger.withEmptyDatabase { ledger in
      try ledger.execute("BEGIN; \(Self.schema()); COMMIT")
      let opsledger = LedgerProgram(url: ledger.adminURL)
      for command in [["event", "emit", "a:b"], ["heartbeat"], ["verify"], ["status"]] {
        let answer = try opsledger.run(command)
        #expect(answer.code == 3, "\(command)")
        #expect(answer.errors.hasPrefix("error OPS_014: "), "\(command): \(answer.errors)")
        #expect(answer.errors.contains("`opsledger init`"), "\(command)")
      }
      #expect(try ledger.count("ledger.events") == 0)
      #expect(try opsledger("init").code == 0)
      #expect(try opsledger("event", "emit", "a:b").code == 0)
      #expect(try opsledger("verify").code == 0)
    }
  }

  @Test("init refuses a database that has such a table of its own, and leaves it alone")
  func foreign() throws {
    try TestLedger.withEmptyDatabase { ledger in
      try ledger.execute("CREATE TABLE ops_policy (mine text); INSERT INTO ops_policy VALUES ('x')")
      let answer = try LedgerProgram(url: ledger.adminURL)("init")
      #expect(answer.code == 3)
      #expect(answer.errors.hasPrefix("error OPS_014: "), "\(answer.errors)")
      #expect(answer.errors.contains("ops_policy"))
      #expect(try ledger.lines("SELECT mine FROM ops_policy") == ["x"])
      #expect(try ledger.count("pg_namespace WHERE nspname = 'ledger'") == 0)
    }
  }
}

/// What is said to people can be done by them.
@Suite("Hints")
struct HintTests {
  private static func swiftFiles(in folder: String) -> [String] {
    FileSystem.names(in: "\(Repository.root)/\(folder)").flatMap { name in
      let path = "\(folder)/\(name)"
      return name.hasSuffix(".swift") ? [path] : name.contains(".") ? [] : swiftFiles(in: path)
    }
  }

  @Test("every command that a text of ours names is one")
  func commands() throws {
    let names = try Subprocess(
      #require(LedgerProgram.path), ["--help"], environment: ["PATH": "/usr/bin:/bin"]
    ).run().outputText
    for file in Self.swiftFiles(in: "Sources") {
      for piece in try Repository.read(file).split(separator: "`opsledger ").dropFirst() {
        let words = piece.prefix { $0 != "`" }.split(separator: " ").map(String.init)
        // What is filled in while it runs is no word of ours.
        guard let first = words.first, !first.contains("\\"), !first.hasPrefix("-") else {
          continue
        }
        #expect(names.contains(first), "\(file): opsledger \(words.joined(separator: " "))")
      }
    }
  }
}
