import JSON
import Ledger
import OpsLoop
import Synchronization

/// What the players of one seed know together: whom to approve, what is held, what they were promised.
final class World: Sendable {
  struct Held: Sendable {
    var step: ClaimedStep
    let claim: Claim
  }

  /// What a caller was told, to be compared with the log.
  struct Promises {
    /// Agent events by their mark: what was answered; nil where the caller died before an answer.
    var emitted: [String: Emitted?] = [:]
    var submitted: [String: SubmissionOutcome?] = [:]
    /// Missions that approvals named, by proposal.
    var approved: [StreamID: Set<StreamID>] = [:]
    /// Leases that were answered: run and version.
    var leased: [StreamID: Int32] = [:]
    /// Outcomes recorded, by run; and those whose caller died.
    var outcomes: [StreamID: Int] = [:]
    var doubtful: [StreamID: Int] = [:]
  }

  struct State {
    var proposals: [StreamID] = []
    var held: [Held] = []
    var promises = Promises()
    var marks = 0
  }

  private let state = Mutex(State())

  func with<R>(_ body: (inout sending State) -> sending R) -> sending R {
    state.withLock { body(&$0) }
  }

  func newMark() -> String {
    with { state in
      state.marks += 1
      return "m\(state.marks)"
    }
  }

  var promises: Promises { with { $0.promises } }
}
