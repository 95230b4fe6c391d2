import Host
import JSON
import TestLedgers
import Testing

/// The program, as a script calls it, on a ledger of a test's own.
struct LedgerProgram {
  struct Answer {
    let code: Int32?
    let output: String
    let errors: String

    var json: JSON { (try? JSON(parsing: output)) ?? .null }
    /// One document a line.
    var lines: [JSON] {
      output.split(separator: "\n").map { (try? JSON(parsing: String($0))) ?? .null }
    }
  }

  /// Beside the program that runs the tests.
  static let path = FileSystem.realPath("/proc/self/exe")
    .map { FileSystem.parent(of: $0) + "/opsledger" }

  let url: String

  init(_ ledger: TestLedger) { url = ledger.url }
  init(url: String) { self.url = url }

  func callAsFunction(
    _ arguments: String..., input: String = "", variables: [String: String] = [:],
    timeoutMillis: Int = 600_000
  ) throws -> Answer {
    try run(arguments, input: input, variables: variables, timeoutMillis: timeoutMillis)
  }

  func run(
    _ arguments: [String], input: String = "", variables: [String: String] = [:],
    timeoutMillis: Int = 600_000
  ) throws -> Answer {
    let environment = ["PATH": "/usr/bin:/bin", "OPS_DATABASE_URL": url].merging(variables) { $1 }
    let result = try Subprocess(
      #require(Self.path), arguments, environment: environment, directory: "/",
      input: Array(input.utf8), timeoutMillis: timeoutMillis
    ).run()
    let code: Int32? = if case .exited(let code) = result.ending { code } else { nil }
    return Answer(code: code, output: result.outputText, errors: result.errorText)
  }

  /// What a command prints with `--json`, where it must succeed.
  func json(_ arguments: String..., input: String = "") throws -> JSON {
    let result = try Subprocess(
      #require(Self.path), ["--json"] + arguments,
      environment: ["PATH": "/usr/bin:/bin", "OPS_DATABASE_URL": url], directory: "/",
      input: Array(input.utf8), timeoutMillis: 600_000
    ).run()
    #expect(result.ending == .exited(0), "\(arguments): \(result.errorText)")
    return (try? JSON(parsing: result.outputText)) ?? .null
  }
}

extension JSON {
  subscript(_ index: Int) -> JSON? {
    guard let elements = arrayValue, elements.indices.contains(index) else { return nil }
    return elements[index]
  }

  var keys: Set<String> { Set(objectValue.map { Array($0.keys) } ?? []) }
}
