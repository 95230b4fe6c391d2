import JSON
import Ledger

/// Runs the steps of one kind of work. An instance is made of one step's params.
///
/// A new executor is a file with its type and a line in ``Executors/all``.
protocol Executor: Sendable {
  /// What templates and policies call it.
  static var name: String { get }
  /// What it does, in one line for people.
  static var summary: String { get }
  /// Texts that it writes into results by itself: an erasure does not take them for somebody's.
  static var ownTexts: [String] { get }

  /// Checks the params. Fields that it does not know mean nothing.
  ///
  /// - Throws: ``Ledger/OpsError/wrongParam(_:isNot:)``, which fails the attempt.
  init(params: JSON) throws(OpsError)

  /// Whether it runs on the thread that claimed the step, since it takes no time worth a thread of its own.
  var isInstant: Bool { get }

  /// Runs the step to its end, on whichever thread calls.
  ///
  /// - Parameter failedRuns: How often the step has failed so far.
  func run(failedRuns: Int) -> StepOutcome.Result
}

extension Executor {
  static var ownTexts: [String] { [] }
  var isInstant: Bool { false }
}

/// What steps can be run by.
public enum Executors {
  static let all: [any Executor.Type] = [Noop.self, RadarExecutor.self]

  /// The names that a template may use.
  public static let names: Set<String> = Set(byName.keys)

  private static let byName: [String: any Executor.Type] = Dictionary(
    uniqueKeysWithValues: all.map { ($0.name, $0) })

  /// A claimed step with what runs it.
  struct Execution: Sendable {
    let isInstant: Bool
    /// Runs the step to its end, on whichever thread calls.
    let run: @Sendable () -> StepOutcome.Result
  }

  /// How a step is run. What nothing can run fails at once.
  static func execution(of claimed: ClaimedStep) -> Execution {
    let step = claimed.step
    // An erased step that was queued again by hand.
    if step.isErased { return refusing(step.erased) }
    let name = step.executor ?? step.kind
    guard let type = byName[name] else {
      return refusing(OpsError(.executorNotFound, "there is no executor \(name)"))
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
