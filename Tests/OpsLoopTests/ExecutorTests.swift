import JSON
import Ledger
import TestSupport
import Testing

@testable import OpsLoop

/// The executors that there are, and what else knows of them; without a database.
struct ExecutorTests {
  // MARK: The list

  @Test("each executor has a name of its own, and says in a line what it does")
  func list() {
    #expect(Executors.names.count == Executors.all.count)
    for executor in Executors.all {
      #expect(!executor.summary.isEmpty && !executor.summary.contains("\n"))
    }
  }

  @Test("each type that is an executor is in the list")
  func complete() throws {
    let types = try Repository.files(in: ["Sources/OpsLoop/Work"], endingIn: ".swift")
      .map(Repository.read).flatMap { $0.matches(of: /struct \w+: Executor \{/) }
    #expect(types.count == Executors.all.count, "\(types.map(\.output))")
  }

  @Test("SQL knows the executors that the program has")
  func sql() throws {
    let text = try Repository.read("schema/functions/predecessor/executors.sql")
    let names = Executors.names.sorted().joined(separator: ",")
    #expect(
      text.contains("SELECT '{\(names)}'::text[]"), "the list in executors.sql is not \(names)")
  }

  @Test("docs/templates.md lists the executors that the program has")
  func document() throws {
    let document = try Repository.read("docs/templates.md")
    let section = try #require(document.split(separator: "## Executors").last)
    let rows = section.split(separator: "\n## ")[0].split(separator: "\n").filter {
      $0.hasPrefix("| `")
    }
    #expect(Set(rows.map { String($0.split(separator: "`")[1]) }) == Executors.names)
  }

  @Test("the policies that are laid at first name only executors that there are")
  func policies() throws {
    let files = try Repository.files(in: ["schema/policies"], endingIn: ".json")
    #expect(files.count > 5)
    for file in files {
      let name = try #require(file.split(separator: "/").last?.split(separator: ".").first)
      let value = try JSON(parsing: Repository.read(file))
      let futile = Policies.futileParts(
        of: String(name), value, executors: Executors.names, roles: nil)
      #expect(futile == [], "\(file)")
    }
  }

  @Test("an executor's name stands in its own file, and nowhere else in the program")
  func namedOnce() throws {
    for file in try Repository.files(in: ["Sources"], endingIn: ".swift") {
      let text = try Repository.read(file)
      for executor in Executors.all where !text.contains("static let name = \"\(executor.name)\"") {
        for quoted in ["\"\(executor.name)\"", "\\\"\(executor.name)\\\""] {
          #expect(!text.contains(quoted), "\(file) names executor \(executor.name)")
        }
      }
    }
  }

  // MARK: Running

  private func claimed(_ executor: String?, kind: String = "work", _ params: String) -> ClaimedStep
  {
    var step = Step(blank: StreamID(high: 1, low: 2))
    (step.kind, step.executor, step.params) = (kind, executor, params)
    return ClaimedStep(step: step, token: Step.Token(version: 1, runID: step.id), attempt: 1)
  }

  /// How a step ends, in words.
  private func run(_ step: ClaimedStep) -> String {
    switch Executors.execution(of: step).run() {
    case .succeeded(let result, let reads): "\(result ?? "") \(reads.count)"
    case .failed(let failureClass, let error, _): "\(failureClass.rawValue): \(error)"
    case .radar(let command): "\(command)"
    }
  }

  @Test(
    "params that do not check fail the attempt with OPS_004 and the field's name, and without a thread",
    arguments: [
      (Noop.name, #"{"sleep_ms": -1}"#, "noop: sleep_ms is not a whole number of at least 0"),
      (Noop.name, #"{"sleep_ms": "1"}"#, "noop: sleep_ms is not a whole number of at least 0"),
      (Noop.name, #"{"fail_times": 0.5}"#, "noop: fail_times is not a whole number of at least 0"),
      (Noop.name, #"{"error": 7, "sleep_ms": 100}"#, "noop: error is not text"),
      (RadarExecutor.name, "{}", "radar: action is not add, update or list"),
      (RadarExecutor.name, "null", "radar: action is not add, update or list"),
      (RadarExecutor.name, #"{"action": "add"}"#, "radar: params.title is not text"),
      (
        RadarExecutor.name, #"{"action": "update", "params": {"id": "x"}}"#,
        "radar: params.id is not a UUID"
      ),
    ])
  func refused(executor: String, params: String, message: String) throws {
    let step = claimed(executor, params)
    #expect(Executors.execution(of: step).isInstant)
    #expect(run(step) == "refused: OPS_004: \(message)")
  }

  @Test("every executor's error for a field names the field")
  func path() throws {
    let refusals: [() throws -> Void] = [
      { _ = try Noop(params: JSON(parsing: #"{"fail_times": []}"#)) },
      { _ = try RadarExecutor(params: JSON(parsing: #"{"action": 1}"#)) },
    ]
    let fields = refusals.map { refuse in
      expectRefusal(.templateInvalid) { try refuse() }?.facts["path"]
    }
    #expect(fields == ["fail_times", "action"])
  }

  @Test("params that an executor does not know, or that are null, mean nothing")
  func unknownParams() {
    let params = #"{"note": "x", "sleep_ms": null, "fail_times": null, "error": null}"#
    #expect(run(claimed(Noop.name, params)) == #"{"ok": true, "note": "noop executor"} 0"#)
  }

  @Test("the kind names the executor where no executor is named; a step of none fails with OPS_005")
  func named() {
    #expect(run(claimed(nil, kind: Noop.name, "{}")).hasPrefix("{"))
    #expect(run(claimed(RadarExecutor.name, kind: Noop.name, #"{"action": "list"}"#)) == "list")
    #expect(
      run(claimed("wizard", kind: Noop.name, "{}"))
        == "refused: OPS_005: there is no executor wizard")
    #expect(
      run(claimed(nil, kind: "wizard", "{}")) == "refused: OPS_005: there is no executor wizard")
  }

  @Test("noop fails as often as it is told, or for good")
  func noop() {
    var step = claimed(Noop.name, #"{"fail_times": 2}"#)
    step.failedRuns = 1
    #expect(run(step) == "exit: OPS_007: told to fail 2 times, this was number 2")
    step.failedRuns = 2
    #expect(run(step).hasPrefix("{"))
    #expect(run(claimed(Noop.name, #"{"error": "broken"}"#)) == "exit: OPS_007: broken")
  }

  /// An executor that says no more than it must.
  private struct Silent: Executor {
    static let name = "silent"
    static let summary = "nothing"
    init(params: JSON) throws(OpsError) {}
    func run(failedRuns: Int) -> StepOutcome.Result { .succeeded(nil) }
  }

  @Test("a step runs on a thread of its own, unless its executor says that it takes no time")
  func instant() throws {
    #expect(try !Silent(params: .null).isInstant)
    #expect(!Executors.execution(of: claimed(Noop.name, #"{"sleep_ms": 1}"#)).isInstant)
    #expect(Executors.execution(of: claimed(Noop.name, "{}")).isInstant)
    #expect(Executors.execution(of: claimed(RadarExecutor.name, #"{"action": "list"}"#)).isInstant)
  }
}
