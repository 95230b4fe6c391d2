extension Step {
  /// What a step is waiting for, computed from its row: what decisions ask for.
  public enum Phase: Equatable, Sendable {
    case queued
    case running
    case succeeded
    /// Failed for good, after that many attempts.
    case dead
    /// Never run, since an earlier step failed.
    case skipped
    /// The row holds what no history of ours makes.
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

  /// What a worker must hold to record an outcome: the version of its lease, and its run.
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
    /// Its lease has run out: whoever held it is too late.
    case expire(runID: StreamID?, attemptsMax: Int32)
    case skip(becauseOf: Int32)
    case requeue(why: String?)
    /// What it waits for lies where only a clock that was ahead would come to soon.
    case hasten
  }

  /// A failed attempt, and what the rules make of it.
  public struct Attempt: Equatable, Sendable {
    public var failureClass: FailureClass
    public var error: String
    public var result: String?
    public var attemptsMax: Int32
    /// When the next attempt may start.
    public var notBefore: Instant?

    public init(
      failureClass: FailureClass, error: String, result: String?, attemptsMax: Int32,
      notBefore: Instant?
    ) {
      self.failureClass = failureClass
      self.error = error
      self.result = result
      self.attemptsMax = attemptsMax
      self.notBefore = notBefore
    }
  }

  /// Answers a command with the events it causes.
  ///
  /// - Throws: `OPS_006` where the lease is not the caller's, `OPS_012` for a command that the step's
  ///   phase does not allow, `OPS_016` for a row that fits no phase. In this order: 016, 006, 012.
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

  /// `attemptsMax` counts attempts in all, so 0 and 1 both mean one.
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

  /// How long to wait after the given number of failures: 1 s, doubled each time, at most 5 min, and
  /// ± 50 % of that.
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
      .claimLost, "step \(step.id) is not yours to change; nothing was recorded",
      hint: "its lease ended or another took it; claim again",
      facts: ["step_id": step.id.description, "step_version": String(step.version)])
  }

  static func illegal(_ step: Step, _ verb: String) -> OpsError {
    OpsError(
      .conflict, "cannot \(verb) step \(step.id): it is \(step.status.rawValue)",
      facts: ["step_id": step.id.description, "status": step.status.rawValue])
  }

  static func inconsistent(_ step: Step, _ why: String) -> OpsError {
    OpsError(
      .inconsistentRow, "step \(step.id) is inconsistent: \(why)",
      hint: "see `opsledger verify`; amend the row or rebuild",
      facts: ["step_id": step.id.description])
  }
}
