import Testing

@testable import Ledger

@Suite("What may be done with a step")
struct DecideStepTests {
  private static let token = Step.Token(version: 4, runID: Fixed.id(8))

  private static func step(
    _ status: Step.Status, failures: Int32 = 0, version: Int32 = 4
  ) -> Step {
    var step = Step(blank: Fixed.id(1))
    step.status = status
    step.failureCount = failures
    step.version = version
    return step
  }

  private static func attempt(of max: Int32) -> Step.Attempt {
    Step.Attempt(
      failureClass: .exit, error: "no", result: nil, attemptsMax: max, notBefore: Fixed.time(9))
  }

  private static let lease = Step.Lease(
    worker: "host-1", runID: Fixed.id(8), expiresAt: Fixed.time(100))

  private static let commands: [(String, Step.Command)] = [
    ("lease", .lease(lease)),
    ("renew", .renew(token, expiresAt: Fixed.time(200))),
    ("succeed", .succeed(token, result: "{}")),
    ("fail", .fail(token, attempt(of: 3))),
    ("expire", .expire(runID: Fixed.id(8), attemptsMax: 3)),
    ("skip", .skip(becauseOf: 0)),
    ("requeue", .requeue(why: nil)),
  ]

  private static let phases: [(String, Step)] = [
    ("queued", step(.queued)), ("running", step(.running)), ("succeeded", step(.succeeded)),
    ("dead", step(.failed, failures: 3)), ("skipped", step(.failed)),
    ("inconsistent", step(.queued, failures: -1)),
  ]

  /// What is allowed, and with what; everything else is refused.
  private static let allowed: [String: [Step.Event.Kind]] = [
    "queued lease": [.leased], "running renew": [.renewed], "running succeed": [.succeeded],
    "running fail": [.attemptFailed, .retryScheduled],
    "running expire": [.attemptFailed, .retryScheduled], "queued skip": [.skipped],
    "dead requeue": [.requeued], "skipped requeue": [.requeued],
  ]

  private static func refusal(of command: String, in phase: String) -> OpsError.Code {
    if phase == "inconsistent" { return .inconsistentRow }
    return ["lease", "renew", "succeed", "fail"].contains(command) ? .claimLost : .conflict
  }

  @Test("every command in every phase is either allowed or refused, as the table says")
  func everyPair() throws {
    for (phase, step) in Self.phases {
      for (name, command) in Self.commands {
        do {
          let kinds = try Step.decide(command, given: step).map(\.kind)
          #expect(Self.allowed["\(phase) \(name)"] == kinds, "\(phase) \(name)")
        } catch {
          #expect(Self.allowed["\(phase) \(name)"] == nil, "\(phase) \(name)")
          #expect(error.code == Self.refusal(of: name, in: phase), "\(phase) \(name)")
        }
      }
    }
  }

  @Test("a worker whose lease has moved on is refused and changes nothing")
  func leaseMoved() {
    let stale = Step.Token(version: 3, runID: Fixed.id(8))
    for command in [
      Step.Command.succeed(stale, result: nil), .renew(stale, expiresAt: Fixed.time(1)),
      .fail(stale, Self.attempt(of: 3)),
    ] {
      let error = #expect(throws: OpsError.self) {
        try Step.decide(command, given: Self.step(.running))
      }
      #expect(error?.code == .claimLost)
    }
  }

  @Test(
    "max_retries is the number of attempts in all: at 3 the third failure is the dead letter",
    arguments: [(0, 0, true), (1, 0, true), (2, 0, false), (3, 1, false), (3, 2, true)])
  func attempts(max: Int, failures: Int, dies: Bool) throws {
    let events = try Step.decide(
      .fail(Self.token, Self.attempt(of: Int32(max))),
      given: Self.step(.running, failures: Int32(failures)))
    #expect(events.last?.kind == (dies ? .deadLettered : .retryScheduled))
    guard case .attemptFailed(let failure) = events.first else {
      Issue.record("no failed attempt")
      return
    }
    #expect(failure.failureCount == Int32(failures) + 1)
  }

  @Test("an expired lease is tried again without waiting")
  func expiredWithoutBackoff() throws {
    let events = try Step.decide(
      .expire(runID: nil, attemptsMax: 3), given: Self.step(.running))
    #expect(events.last == .retryScheduled(notBefore: nil))
    guard case .attemptFailed(let failure) = events.first else {
      Issue.record("no failed attempt")
      return
    }
    #expect(failure.failureClass == .leaseExpired)
  }

  @Test("the backoff is 1 s, doubled each time, ± 50 %, at most 5 min")
  func backoff() {
    for (failures, base) in [(1, 1000), (2, 2000), (3, 4000), (9, 256_000)] {
      let low = Step.backoffMilliseconds(afterFailures: Int32(failures), draw: 0)
      let high = Step.backoffMilliseconds(afterFailures: Int32(failures), draw: 0.999_999)
      #expect(low == Int64(base / 2))
      #expect(high <= min(Int64(base * 3 / 2), 300_000))
      #expect(high > Int64(base))
    }
    #expect(Step.backoffMilliseconds(afterFailures: .max, draw: 0.999) == 300_000)
    #expect(Step.backoffMilliseconds(afterFailures: 0, draw: 0) == 500)
  }
}
