import JSON
import Testing

@testable import Ledger

@Suite("What votes come to")
struct VoteTests {
  private static func proposal(_ votes: String) -> Proposal {
    var proposal = Proposal(blank: Fixed.id(1))
    proposal.status = .voting
    proposal.votes = votes
    return proposal
  }

  private static func rules(
    _ threshold: Int32, _ voters: [String] = [], veto: Bool = true
  ) -> VoteRules {
    VoteRules(
      threshold: threshold, deadline: Fixed.time(3600), requiredVoters: voters, veto: veto)
  }

  private static let yes = #"{"vote": "approve"}"#
  private static let no = #"{"vote": "reject", "reason": "too dear"}"#
  private static let abstain = #"{"vote": "abstain"}"#

  @Test("as many approvals as the threshold, and every required voter")
  func approved() {
    let one = Self.proposal(#"{"a": \#(Self.yes)}"#)
    #expect(one.consensus(under: Self.rules(1)) == .approved(by: ["a"]))
    #expect(one.consensus(under: Self.rules(2)) == .open(approvalsMissing: 1, votersMissing: []))
    #expect(
      one.consensus(under: Self.rules(1, ["b", "a", "c"]))
        == .open(approvalsMissing: 0, votersMissing: ["b", "c"]))
    let two = Self.proposal(#"{"a": \#(Self.yes), "b": \#(Self.abstain)}"#)
    #expect(two.consensus(under: Self.rules(1, ["b"])) == .approved(by: ["a"]))
    #expect(two.consensus(under: Self.rules(2)) == .open(approvalsMissing: 1, votersMissing: []))
  }

  @Test("one vote against it is enough where there is a veto, however many are for it")
  func vetoed() {
    let mixed = Self.proposal(#"{"a": \#(Self.yes), "b": \#(Self.no), "c": \#(Self.yes)}"#)
    #expect(mixed.consensus(under: Self.rules(1)) == .vetoed(by: "b", reason: "too dear"))
    #expect(mixed.consensus(under: Self.rules(2, veto: false)) == .approved(by: ["a", "c"]))
    #expect(
      mixed.consensus(under: Self.rules(3, veto: false))
        == .open(approvalsMissing: 1, votersMissing: []))
  }

  @Test(
    "what a manual change wrote that is no vote counts as none",
    arguments: ["{}", "[]", "7", #"{"a": "approve"}"#, #"{"a": {"vote": "yes"}}"#, "nonsense"])
  func noVotes(votes: String) {
    let consensus = Self.proposal(votes).consensus(under: Self.rules(1))
    #expect(consensus == .open(approvalsMissing: 1, votersMissing: []))
  }

  @Test("the policy's defaults, and what it refuses")
  func policy() throws {
    let bare = try VotingPolicy(JSON(parsing: "{}"))
    #expect(!bare.enabled && bare.veto && bare.requiredVoters == [])
    let rules = bare.rules(for: .high, at: Fixed.time(0))
    #expect(rules == Self.rules(2))
    let full = try VotingPolicy(
      JSON(parsing: #"{"thresholds": {"high": 3}, "deadline_minutes": 0.5, "veto": null}"#))
    #expect(full.rules(for: .high, at: Fixed.time(0)).threshold == 3)
    #expect(full.rules(for: .high, at: Fixed.time(0)).deadline == Fixed.time(30))
    for text in [
      "[]", #"{"enabled": 1}"#, #"{"thresholds": {"extreme": 1}}"#, #"{"thresholds": []}"#,
      #"{"thresholds": {"low": 0}}"#, #"{"thresholds": {"low": 1e99}}"#, #"{"veto": "yes"}"#,
      #"{"thresholds": {"low": "2"}}"#, #"{"required_voters": "sage"}"#,
      #"{"required_voters": [1]}"#, #"{"deadline_minutes": 0}"#, #"{"deadline_minutes": -1}"#,
      #"{"deadline_minutes": 1e300}"#, #"{"deadline_minutes": "60"}"#,
    ] {
      let error = #expect(throws: OpsError.self) { try VotingPolicy(JSON(parsing: text)) }
      #expect(error?.code == .badInput, "\(text)")
    }
  }
}
