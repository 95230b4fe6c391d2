import JSON
import Ledger

/// Runs the steps of one kind of work. An instance runs one step.
///
/// A new executor is a file with its type and a line in ``Executors/all``.
protocol Executor: Sendable {
  /// The name in templates and policies.
  static var name: String { get }
  /// One line for people.
  static var summary: String { get }
  /// Fixed texts of its results. An erasure does not search for them.
  static var ownTexts: [String] { get }

  /// Checks the params, and ignores unknown fields.
  ///
  /// - Throws: ``Ledger/OpsError/wrongParam(_:isNot:)``, which fails the attempt.
  init(params: JSON) throws(OpsError)

  /// Whether it is fast enough to run on the thread that claimed the step.
  var isInstant: Bool { get }

  /// Runs the step to its end, on the calling thread.
  ///
  /// - Parameter failedRuns: How often the step has failed so far.
  func run(failedRuns: Int) -> StepOutcome.Result
}

extension Executor {
  static var ownTexts: [String] { [] }
  var isInstant: Bool { false }
}

/// All executors.
public enum Executors {
  static let all: [any Executor.Type] = [Noop.self, RadarExecutor.self]

  /// The names for templates.
  public static let names: Set<String> = Set(byName.keys)

  private static let byName: [String: any Executor.Type] = Dictionary(
    uniqueKeysWithValues: all.map { ($0.name, $0) })

  struct Execution: Sendable {
    let isInstant: Bool
    /// Runs the step to its end, on the calling thread.
    let run: @Sendable () -> StepOutcome.Result
  }

  /// The execution of a step. A step that no executor can run fails at once.
  static func execution(of claimed: ClaimedStep) -> Execution {
    let step = claimed.step
    // A manual change can queue an erased step again.
    if step.isErased { return refusing(step.erased) }
    let name = step.executor ?? step.kind
    guard let type = byName[name] else {
      return refusing(
        OpsError(
          .executorNotFound, "there is no executor \(name)", hint: "see `opsledger executor list`"))
    }
    do throws(OpsError) {
      let executor = try type.init(params: (try? JSON(parsing: step.params)) ?? .null)
      let failedRuns = claimed.failedRuns
      return Execution(isInstant: executor.isInstant) { executor.run(failedRuns: failedRuns) }
    } catch {
      return refusing(OpsError(error.code, "\(name): \(error.message)"))
    }
  }

  private static func refusing(_ error: OpsError) -> Execution {
    Execution(isInstant: true) { .failed(.refused, error: error.description, result: nil) }
  }
}
