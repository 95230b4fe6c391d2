import TestSupport

@testable import Ledger

extension Proposal: Sampled {
  static let creating: [Event.Kind] = [.submitted]
  static let labels = [
    "source": Source.allCases.map(\.rawValue), "status": Status.allCases.map(\.rawValue),
  ]

  static func sample(_ kind: Event.Kind, _ g: inout Generator) -> Event {
    switch kind {
    case .submitted:
      .submitted(
        Submission(
          source: g.pick(Source.allCases), dedupeKey: g.maybe { $0.text() },
          template: g.jsonText(), policySnapshot: g.maybe { $0.jsonText() },
          autoApprovalRefusal: g.maybe { AutoApprovalRefusal(rule: $0.text(), words: $0.text()) }))
    case .gateRefused:
      .gateRefused(
        g.pick(Cap.allCases), limit: g.int(), count: g.int(), reason: g.maybe { $0.text() })
    case .autoApproved: .autoApproved
    case .voteCalled:
      .voteCalled(
        threshold: g.int(), deadline: g.instant(),
        terms: g.maybe { g in
          VoteTerms(
            requiredVoters: [g.text()], veto: g.flip(), voters: g.maybe { [$0.text(), $0.text()] })
        })
    case .voteCast:
      .voteCast(
        Ballot(
          id: g.id(), role: g.text(), vote: g.pick(Vote.allCases), reason: g.maybe { $0.text() },
          metadata: g.maybe { $0.jsonText() }))
    case .voteExpired: .voteExpired
    case .approved: .approved(reason: g.maybe { $0.text() })
    case .rejected: .rejected(reason: g.maybe { $0.text() })
    }
  }

  static let histories: [(name: String, events: [StreamEvent<Proposal>])] = [
    ("pending", [submitted]),
    (
      "gate refused",
      [submitted, .own(.gateRefused(.daily, limit: 100, count: 100, reason: "OPS_003: daily"))]
    ),
    ("auto approved", [submitted, .own(.autoApproved)]),
    ("voting", [submitted, called]),
    ("voting, one vote", [submitted, called, .own(.voteCast(ballot))]),
    ("vote expired", [submitted, called, .own(.voteCast(ballot)), .own(.voteExpired)]),
    ("approved", [submitted, .own(.approved(reason: "looks right"))]),
    (
      "approved by vote",
      [submitted, called, .own(.voteCast(ballot)), .own(.approved(reason: nil))]
    ),
    ("rejected", [submitted, .own(.rejected(reason: "not now"))]),
    ("voting under rules that it keeps", [objected, calledWithTerms]),
  ]

  private static let submitted = StreamEvent<Proposal>.own(.submitted(submission))
  private static let called = StreamEvent<Proposal>.own(
    .voteCalled(threshold: 2, deadline: Fixed.time(3600), terms: nil))

  private static let objected: StreamEvent<Proposal> = {
    var submission = Proposal.submission
    submission.autoApprovalRefusal = AutoApprovalRefusal(
      rule: "auto_approve.max_risk_level", words: "risk high is above max_risk_level low")
    return .own(.submitted(submission))
  }()
  private static let calledWithTerms = StreamEvent<Proposal>.own(
    .voteCalled(
      threshold: 3, deadline: Fixed.time(3600),
      terms: VoteTerms(requiredVoters: ["sage", "observer"], veto: false)))

  static let submission = Submission(
    source: .reaction, dedupeKey: "find-1:p1", template: #"{"steps": [{"kind": "noop"}]}"#,
    policySnapshot: #"{"auto_approve": 1, "proposal_caps": 2}"#)

  static let ballot = Ballot(
    id: Fixed.id(9), role: "growth", vote: .approve, reason: "cheap", metadata: #"{"score": 3}"#)
}
