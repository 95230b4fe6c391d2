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
    /// How many steps were queued again, by the reason given; nil where the caller died.
    var requeued: [String: Int?] = [:]
    /// Whether a policy was changed, by the reason given.
    var changed: [String: Bool?] = [:]
  }

  struct State {
    var proposals: [StreamID] = []
    var held: [Held] = []
    var promises = Promises()
    var marks = 0
    var isHalting = false
    var isPausing = false
    var loop = (begun: 0, ended: 0)
    var halt: Int?
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

  var isHalting: Bool { with { $0.isHalting } }
  var isPausing: Bool { with { $0.isPausing } }

  /// The halt that is in force for certain: answered, and nobody has begun to change it since.
  var halt: Int? { with { $0.halt } }

  func beginLoop(_ state: LoopState.State) -> Int {
    with { world in
      world.isHalting = state == .halted
      world.halt = nil
      world.loop.begun += 1
      return world.loop.begun
    }
  }

  func endLoop(_ number: Int, _ state: LoopState.State, isAnswered: Bool) {
    with { world in
      world.loop.ended += 1
      let isAlone = world.loop.begun == number && world.loop.ended == number
      if isAlone, isAnswered, state == .halted { world.halt = number }
    }
  }

  var promises: Promises { with { $0.promises } }
}
