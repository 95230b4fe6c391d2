extension Step {
  /// The state of a step, which decisions compute from its row.
  public enum Phase: Equatable, Sendable {
    case queued
    case running
    case succeeded
    /// All attempts failed.
    case dead
    /// It does not run, since an earlier step failed.
    case skipped
    /// No history can give the row.
    case inconsistent(String)
  }

  public var phase: Phase {
    guard (0...Draft.versionMax).contains(failureCount) else {
      return .inconsistent("failure_count is \(failureCount)")
    }
    return switch status {
    case .queued: .queued
    case .running: .running
    case .succeeded: .succeeded
    case .failed: failureCount > 0 ? .dead : .skipped
    }
  }

  /// The fencing token of a lease: the step's version, and the run.
  public struct Token: Hashable, Sendable {
    public var version: Int32
    public var runID: StreamID

    public init(version: Int32, runID: StreamID) {
      self.version = version
      self.runID = runID
    }
  }

  public enum Command: Equatable, Sendable {
    case lease(Lease)
    case renew(Token, expiresAt: Instant)
    case succeed(Token, result: String?, reads: [StreamID] = [])
    case fail(Token, Attempt)
    /// Its lease has ended, and its holder cannot record an outcome any more.
    case expire(runID: StreamID?, attemptsMax: Int32)
    case skip(becauseOf: Int32)
    case requeue(why: String?)
    /// Its next attempt may start now. A clock that was ahead has delayed it too far.
    case hasten
  }

  /// A failed attempt.
  public struct Attempt: Equatable, Sendable {
    public var failureClass: FailureClass
    public var error: String
    public var result: String?
    public var attemptsMax: Int32
    /// The earliest time of the next attempt.
    public var notBefore: Instant?
  }

  /// The events of a command.
  ///
  /// - Throws: In this order: `OPS_016` for a row that fits no state, `OPS_006` if the caller does not have the lease,
  ///   `OPS_012` for a command that the step's state does not allow.
  public static func decide(_ command: Command, given step: Step) throws(OpsError) -> [Event] {
    if case .inconsistent(let why) = step.phase { throw .inconsistent(step, why) }
    switch (command, step.phase) {
    case (.lease(let lease), .queued): return [.leased(lease)]
    case (.lease, _): throw .claimLost(step)

    case (.renew(let token, let expiresAt), .running) where token.version == step.version:
      return [.renewed(expiresAt: expiresAt)]
    case (.succeed(let token, let result, let reads), .running) where token.version == step.version:
      return [.succeeded(runID: token.runID, result: result, reads: reads)]
    case (.fail(let token, let attempt), .running) where token.version == step.version:
      return step.failing(attempt, runID: token.runID)
    case (.renew, _), (.succeed, _), (.fail, _): throw .claimLost(step)

    case (.expire(let runID, let attemptsMax), .running):
      let attempt = Attempt(
        failureClass: .leaseExpired, error: "Lease expired", result: nil,
        attemptsMax: attemptsMax, notBefore: nil)
      return step.failing(attempt, runID: runID)
    case (.expire, _): throw .illegal(step, "expire")

    case (.skip(let ordinal), .queued): return [.skipped(becauseOf: ordinal)]
    case (.skip, _): throw .illegal(step, "skip")

    case (.hasten, .queued): return [.retryScheduled(notBefore: nil)]
    case (.hasten, _): throw .illegal(step, "hasten")

    case (.requeue(let why), .dead), (.requeue(let why), .skipped): return [.requeued(why: why)]
    case (.requeue, _): throw .illegal(step, "retry")
    }
  }

  /// `attemptsMax` is the limit of all attempts, so both 0 and 1 allow one attempt.
  private func failing(_ attempt: Attempt, runID: StreamID?) -> [Event] {
    let count = failureCount + 1
    let failed = Event.attemptFailed(
      Failure(
        failureClass: attempt.failureClass, failureCount: count, runID: runID,
        error: attempt.error, result: attempt.result))
    return count < attempt.attemptsMax
      ? [failed, .retryScheduled(notBefore: attempt.notBefore)]
      : [failed, .deadLettered(maxRetries: attempt.attemptsMax)]
  }

  /// The wait after a number of failures: 1 s, which doubles each time, ± 50 %, and at most 5 min.
  ///
  /// - Parameter draw: A random number from 0 up to 1.
  public static func backoffMilliseconds(afterFailures count: Int32, draw: Double) -> Int64 {
    let base = min(1000 * Double(1 << min(max(count - 1, 0), 20)), 300_000)
    return Int64(min(base * (0.5 + draw), 300_000))
  }
}

extension OpsError {
  static func claimLost(_ step: Step) -> OpsError {
    OpsError(
      .claimLost, "the caller does not hold the lease of step \(step.id); nothing was recorded",
      hint: "the lease has ended, or another worker has it: claim a step again",
      facts: ["step_id": step.id.description, "step_version": String(step.version)])
  }

  static func illegal(_ step: Step, _ verb: String) -> OpsError {
    OpsError(
      .conflict, "cannot \(verb) step \(step.id): it is \(step.status.rawValue)",
      hint: "see `opsledger step show \(step.id)`",
      facts: ["step_id": step.id.description, "status": step.status.rawValue])
  }

  static func inconsistent(_ step: Step, _ why: String) -> OpsError {
    OpsError(
      .inconsistentRow, "the row of step \(step.id) is inconsistent: \(why)",
      hint: "see `opsledger verify`; correct the row in psql, or run `opsledger rebuild`",
      facts: ["step_id": step.id.description])
  }
}
