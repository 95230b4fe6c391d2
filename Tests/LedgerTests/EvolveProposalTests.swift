import JSON
import Testing

@testable import Ledger

@Suite("How a proposal's events make its row")
struct EvolveProposalTests {
  @Test("submitted makes the whole row, pending")
  func submitted() throws {
    try expect(
      Proposal.self, .submitted(Proposal.submission),
      makes: [
        "source": .text("reaction"), "status": .text("pending"), "dedupe_key": .text("find-1:p1"),
        "template": .json(#"{"steps": [{"kind": "noop"}]}"#), "created_at": now,
        "policy_snapshot": .json(#"{"auto_approve": 1, "proposal_caps": 2}"#),
      ])
  }

  @Test("a refusal at the gate gives up the dedupe key and marks it", arguments: Proposal.states)
  func gateRefused(state: RowState<Proposal>) throws {
    var snapshot = try JSON(parsing: state.row.policySnapshot ?? "{}").objectValue ?? [:]
    snapshot["gate_refused"] = .bool(true)
    try expect(
      .gateRefused(.source, limit: 3, count: 3, reason: "OPS_003: enough"), on: state,
      sets: [
        "status": .text("rejected"), "dedupe_key": .null, "reason": .text("OPS_003: enough"),
        "policy_snapshot": .json(JSON.object(snapshot).text),
      ])
  }

  @Test("a refusal is marked where there was no snapshot too")
  func refusedWithoutSnapshot() throws {
    let row = try setting(["policy_snapshot": .null], in: Proposal.states[0].row)
    try expect(
      .gateRefused(.policy, limit: 0, count: 0, reason: nil), on: RowState(name: "", row: row),
      sets: [
        "status": .text("rejected"), "dedupe_key": .null, "reason": .null,
        "policy_snapshot": .json(#"{"gate_refused": true}"#),
      ])
  }

  @Test("auto-approval sets status and time", arguments: Proposal.states)
  func autoApproved(state: RowState<Proposal>) throws {
    try expect(
      .autoApproved, on: state, sets: ["status": .text("auto_approved"), "approved_at": now])
  }

  @Test(
    "a vote that is called begins without votes, and keeps those of before",
    arguments: Proposal.states)
  func voteCalled(state: RowState<Proposal>) throws {
    try expect(
      .voteCalled(threshold: 2, deadline: Fixed.time(5000), terms: nil), on: state,
      sets: ["status": .text("voting"), "votes": .json(state.row.votes ?? "{}")])
    let terms = Proposal.VoteTerms(requiredVoters: ["sage"], veto: false)
    var snapshot = try JSON(parsing: state.row.policySnapshot ?? "{}").objectValue ?? [:]
    snapshot["vote"] = .object([
      "threshold": .int(2), "deadline": .string(Fixed.time(5000).description),
      "required_voters": .array([.string("sage")]), "veto": .bool(false),
    ])
    try expect(
      .voteCalled(threshold: 2, deadline: Fixed.time(5000), terms: terms), on: state,
      sets: [
        "status": .text("voting"), "votes": .json(state.row.votes ?? "{}"),
        "policy_snapshot": .json(JSON.object(snapshot).text),
      ])
  }

  @Test("a ballot stands under its role, and replaces that role's", arguments: Proposal.states)
  func voteCast(state: RowState<Proposal>) throws {
    for role in ["growth", "ops", "a", "日\"本"] {
      let ballot = Proposal.Ballot(
        id: Fixed.id(10), role: role, vote: .abstain, reason: nil, metadata: nil)
      var votes = try JSON(parsing: state.row.votes ?? "{}").objectValue ?? [:]
      votes[role] = .object([
        "id": .string("\(Fixed.id(10))"), "vote": .string("abstain"), "reason": .null,
        "created_at": .string("\(recorded.at)"), "metadata": .object([:]),
      ])
      try expect(.voteCast(ballot), on: state, sets: ["votes": .json(JSON.object(votes).text)])
    }
  }

  @Test("a vote that expires leaves it pending, votes kept", arguments: Proposal.states)
  func voteExpired(state: RowState<Proposal>) throws {
    try expect(.voteExpired, on: state, sets: ["status": .text("pending")])
  }

  @Test(
    "approval sets status and time, and the reason where there is one", arguments: Proposal.states)
  func approved(state: RowState<Proposal>) throws {
    try expect(
      .approved(reason: "go"), on: state,
      sets: ["status": .text("approved"), "approved_at": now, "reason": .text("go")])
    try expect(
      .approved(reason: nil), on: state, sets: ["status": .text("approved"), "approved_at": now])
  }

  @Test("rejection sets status and reason", arguments: Proposal.states)
  func rejected(state: RowState<Proposal>) throws {
    try expect(
      .rejected(reason: "no"), on: state,
      sets: ["status": .text("rejected"), "reason": .text("no")]
    )
    try expect(
      .rejected(reason: nil), on: state, sets: ["status": .text("rejected"), "reason": .null])
  }
}
