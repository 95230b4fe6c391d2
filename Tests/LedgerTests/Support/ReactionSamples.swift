import TestSupport

@testable import Ledger

extension Reaction: Sampled {
  static let creating: [Event.Kind] = [.queued]
  static let labels = ["status": Status.allCases.map(\.rawValue)]

  static func sample(_ kind: Event.Kind, _ g: inout Generator) -> Event {
    switch kind {
    case .queued:
      .queued(
        Intent(
          eventID: g.id(), eventType: g.text(), patternID: g.text(),
          proposalSource: g.pick(Proposal.Source.allCases), dedupeKey: g.text(),
          template: g.jsonText(), depth: g.maybe { _ in 7 } ?? 1))
    case .done:
      .done(
        Outcome(
          proposalID: g.id(), status: g.pick(Proposal.Status.allCases),
          missionID: g.maybe { $0.id() }, reason: g.maybe { $0.text() }))
    case .failed: .failed(code: g.text(), error: g.maybe { $0.text() })
    case .retried: .retried(why: g.maybe { $0.text() })
    }
  }

  static let histories: [(name: String, events: [StreamEvent<Reaction>])] = [
    ("queued", [.own(.queued(intent))]),
    (
      "queued in a chain",
      [
        .own(
          .queued(
            Intent(
              eventID: Fixed.id(3), eventType: "step:noop:failed", patternID: "p1",
              proposalSource: .reaction, dedupeKey: "find-1:p2", template: "{}", depth: 3)))
      ]
    ),
    ("done", [.own(.queued(intent)), .own(.done(outcome))]),
    ("failed", [.own(.queued(intent)), failed]),
    ("retried", [.own(.queued(intent)), failed, .own(.retried(why: nil))]),
    (
      "done after a retry",
      [.own(.queued(intent)), failed, .own(.retried(why: "mended")), .own(.done(outcome))]
    ),
  ]

  private static let failed = StreamEvent<Reaction>.own(
    .failed(code: "OPS_004", error: "the template has no steps"))

  static let intent = Intent(
    eventID: Fixed.id(3), eventType: "scout:find", patternID: "p1", proposalSource: .trigger,
    dedupeKey: "find-1:p1", template: #"{"steps": [{"kind": "noop"}]}"#)

  static let outcome = Outcome(
    proposalID: Fixed.id(4), status: .autoApproved, missionID: Fixed.id(5), reason: nil)
}
