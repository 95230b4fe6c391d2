import Glibc
import Host
import Testing

/// The program as a script sees it: its exit codes, its two streams, and what it leaves behind.
@Suite("the program")
struct ProgramTests {
  /// Beside the program that runs the tests.
  private static let path = FileSystem.realPath("/proc/self/exe")
    .map { FileSystem.parent(of: $0) + "/opsledger" }

  private func run(
    _ arguments: [String], _ variables: [String: String] = [:], in directory: String = "/"
  ) throws -> Subprocess.Result {
    let environment = ["PATH": "/usr/bin:/bin"].merging(variables) { $1 }
    let program = try #require(Self.path)
    return try Subprocess(
      program, arguments, environment: environment, directory: directory, timeoutMillis: 600_000
    ).run()
  }

  private func withEmptyDirectory(_ body: (String) throws -> Void) throws {
    let path = "/tmp/opsledger-program-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    try FileSystem.makeDirectory(path, mode: 0o700)
    defer { _ = try? Subprocess("rm", ["-rf", "--", path]).run() }
    try body(path)
  }

  @Test("exit codes and streams are as scripts rely on", arguments: ["--help", "db url --help"])
  func help(line: String) throws {
    let result = try run(line.split(separator: " ").map(String.init))
    #expect(result.ending == .exited(0))
    #expect(result.outputText.contains("usage: opsledger"))
    #expect(result.errors.isEmpty)
  }

  @Test("what is no command is one line, a hint, and 2")
  func unreadable() throws {
    let result = try run(["db", "strat"])
    #expect(result.ending == .exited(2))
    #expect(result.output.isEmpty)
    #expect(
      result.errorText
        == "error OPS_019: unknown command db strat\nhint: did you mean db start?\n")
  }

  @Test(
    "no database is 3, and none is made", arguments: [[:], ["SUPABASE_URL": "https://x.example"]])
  func noDatabase(variables: [String: String]) throws {
    try withEmptyDirectory { directory in
      for command in ["url", "psql", "stop"] {
        let result = try run(["db", command], variables, in: directory)
        #expect(result.ending == .exited(3))
        #expect(result.errorText.hasPrefix("error OPS_001: no database"))
        #expect(result.errorText.contains("\nhint: "))
      }
      #expect(FileSystem.names(in: directory).isEmpty)
    }
  }

  @Test("a .env says which database, and a line in it that cannot be read is a warning")
  func dotEnv() throws {
    try withEmptyDirectory { directory in
      try FileSystem.write("OPS_DATABASE_URL=postgres://there\nwhat?\n", to: directory + "/.env")
      let result = try run(["db", "url"], in: directory)
      #expect(result.outputText == "postgres://there\n")
      #expect(
        result.errorText == "warning: skipped line 2 of .env, which is not NAME=value in UTF-8\n")
    }
  }

  @Test("a result that cannot be written is an error, and a reader that left is not")
  func unwritable() throws {
    let program = try #require(Self.path)
    let full = try Subprocess("sh", ["-c", "\"$0\" --help >/dev/full", program]).run()
    #expect(full.ending == .exited(3))
    #expect(full.errorText.hasPrefix("error OPS_001: cannot write the result: "))
    // Writes until the reader is gone.
    let writes = "until ! sh -c 'echo there' 2>&-; do :; done"
    let closed = try Subprocess(
      "sh", ["-c", "(\(writes); \"$0\" --help; echo $? >&2) | true", program]
    ).run()
    #expect(closed.errorText == "141\n")
  }
}
