import TestSupport

@testable import Ledger

extension Step: Sampled {
  static let creating: [Event.Kind] = [.created]
  static let labels = ["status": Status.allCases.map(\.rawValue)]

  static func sample(_ kind: Event.Kind, _ g: inout Generator) -> Event {
    switch kind {
    case .created:
      .created(
        Plan(
          missionID: g.id(), ordinal: g.int(), kind: g.text(), executor: g.text(),
          needs: g.ints(), maxRetries: g.maybe { $0.int() }, params: g.jsonText()))
    case .leased: .leased(Lease(worker: g.text(), runID: g.id(), expiresAt: g.instant()))
    case .renewed: .renewed(expiresAt: g.instant())
    case .succeeded:
      .succeeded(
        runID: g.id(), result: g.maybe { $0.jsonText() }, reads: g.maybe { [$0.id()] } ?? [])
    case .attemptFailed:
      .attemptFailed(
        Failure(
          failureClass: g.pick(FailureClass.allCases), failureCount: g.int(),
          runID: g.maybe { $0.id() }, error: g.maybe { $0.text() },
          result: g.maybe { $0.jsonText() }))
    case .retryScheduled: .retryScheduled(notBefore: g.maybe { $0.instant() })
    case .deadLettered: .deadLettered(maxRetries: g.int())
    case .skipped: .skipped(becauseOf: g.int())
    case .requeued: .requeued(why: g.maybe { $0.text() })
    }
  }

  static let histories: [(name: String, events: [StreamEvent<Step>])] = [
    ("queued", [created]),
    ("leased", [created, leased]),
    ("renewed", [created, leased, .own(.renewed(expiresAt: Fixed.time(900)))]),
    (
      "succeeded",
      [created, leased, .own(.succeeded(runID: Fixed.id(8), result: #"{"ok": true}"#))]
    ),
    ("attempt failed", [created, leased, attemptFailed]),
    ("waiting for a retry", [created, leased, attemptFailed, retry]),
    ("leased again", [created, leased, attemptFailed, retry, leased]),
    ("dead", [created, leased, attemptFailed, .own(.deadLettered(maxRetries: 1))]),
    ("skipped", [created, .own(.skipped(becauseOf: 0))]),
    (
      "requeued by hand",
      [
        created, leased, attemptFailed, .own(.deadLettered(maxRetries: 1)),
        .own(.requeued(why: nil)),
      ]
    ),
    (
      "requeued with a reason",
      [
        created, leased, attemptFailed, .own(.deadLettered(maxRetries: 1)),
        .own(.requeued(why: "the disk is back")),
      ]
    ),
  ]

  private static let created = StreamEvent<Step>.own(.created(plan))
  private static let leased = StreamEvent<Step>.own(.leased(lease))
  private static let attemptFailed = StreamEvent<Step>.own(.attemptFailed(failure))
  private static let retry = StreamEvent<Step>.own(.retryScheduled(notBefore: Fixed.time(60)))

  static let plan = Plan(
    missionID: Fixed.id(5), ordinal: 1, kind: "noop", executor: "noop", needs: [0], maxRetries: 3,
    params: #"{"sleep_ms": 5}"#)
  static let lease = Lease(worker: "host-1", runID: Fixed.id(8), expiresAt: Fixed.time(300))
  static let failure = Failure(
    failureClass: .exit, failureCount: 1, runID: Fixed.id(8), error: "exit 1",
    result: #"{"output": "boom"}"#)
}
