import JSON
import Ledger

/// The executor that changes the radar. The change and the step's outcome are one entry.
public struct RadarExecutor: Executor {
  public static let name = "radar"
  static let summary = "adds to the radar, changes it, or lists it"

  private let command: Radar.Command

  init(params: JSON) throws(OpsError) { command = try Radar.Command(params: params) }

  let isInstant = true

  func run(failedRuns: Int) -> StepOutcome.Result { .radar(command) }
}
