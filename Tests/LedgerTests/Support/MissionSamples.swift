import Ledger
import TestSupport

extension Mission: Sampled {
  static let creating: [Event.Kind] = [.created]
  static let labels = ["status": Status.allCases.map(\.rawValue)]

  static func sample(_ kind: Event.Kind, _ g: inout Generator) -> Event {
    switch kind {
    case .created: .created(proposal: g.id(), policySnapshot: g.maybe { $0.jsonText() })
    case .started: .started
    case .succeeded: .succeeded
    case .failed: .failed(step: g.id())
    case .reopened: .reopened(step: g.id())
    }
  }

  static let histories: [(name: String, events: [StreamEvent<Mission>])] = [
    ("approved", [created]),
    ("running", [created, .own(.started)]),
    ("succeeded", [created, .own(.started), .own(.succeeded)]),
    ("failed", [created, .own(.started), .own(.failed(step: Fixed.id(6)))]),
    (
      "reopened",
      [
        created, .own(.started), .own(.failed(step: Fixed.id(6))),
        .own(.reopened(step: Fixed.id(6))),
      ]
    ),
  ]

  private static let created = StreamEvent<Mission>.own(
    .created(proposal: Fixed.id(4), policySnapshot: #"{"auto_approve": 1}"#))
}
