import TestSupport

@testable import Ledger

extension AgentEvent: Sampled {
  static let creating: [Event.Kind] = [.reported]
  static let labels: [String: [String]] = [:]

  static func sample(_ kind: Event.Kind, _ g: inout Generator) -> Event {
    switch kind {
    case .reported:
      .reported(
        Report(
          type: g.text(), data: g.jsonText(), dedupeKey: g.maybe { $0.text() },
          missionID: g.maybe { $0.id() }, thought: g.maybe { $0.text() }),
        processed: g.isFull || g.flip())
    case .processed:
      .processed(
        (0..<(g.isFull ? 9 : g.below(4))).map { index in
          PatternOutcome(
            pattern: "\(index)" + g.text(),
            result: index == 0
              ? .matched(reaction: g.id()) : .unmatched(g.pick(PatternOutcome.Reason.allCases)),
            detail: g.maybe { $0.text() }, draw: g.maybe { _ in 0.25 })
        })
    }
  }

  static let histories: [(name: String, events: [StreamEvent<AgentEvent>])] = [
    ("reported", [.own(.reported(report, processed: false))]),
    ("born processed", [.own(.reported(report, processed: true))]),
    ("processed", [.own(.reported(report, processed: false)), .own(.processed([]))]),
    (
      "processed by chance",
      [
        .own(.reported(report, processed: false)),
        .own(.processed([.init(pattern: "p", result: .unmatched(.probability), draw: 0.75)])),
      ]
    ),
  ]

  static let report = Report(
    type: "scout:find", data: #"{"tags": ["x"]}"#, dedupeKey: "find-1", missionID: Fixed.id(7),
    thought: "worth a look")
}
