import JSON

/// The outcome of a vote.
public struct VoteOutcome: Equatable, Sendable {
  public var status: Proposal.Status
  public var missionID: StreamID?
  /// Nil if the vote came after the deadline: it does not count, and the vote is over.
  public var consensus: Consensus?

  public init(status: Proposal.Status, missionID: StreamID?, consensus: Consensus?) {
    self.status = status
    self.missionID = missionID
    self.consensus = consensus
  }
}

extension Draft {
  /// Calls a vote over a proposal that is not auto-approved, if its risk and the policy demand one.
  ///
  /// - Returns: False if the proposal waits for a person instead.
  mutating func callVote(over id: StreamID, _ risk: Risk, _ policies: Policies) -> Bool {
    guard risk > .low, let policy = policies.voting.value, policy.enabled else { return false }
    let rules = policy.rules(for: risk, at: at)
    append(
      .voteCalled(
        threshold: rules.threshold, deadline: rules.deadline,
        terms: .init(
          requiredVoters: rules.requiredVoters, veto: rules.veto,
          voters: policies.voters(besides: rules.requiredVoters))),
      of: Proposal.self, to: id)
    report(
      own: AgentEvent.Report(
        type: "proposal:vote_requested",
        data: JSON.object([
          "proposal_id": .string(id.description), "risk_level": .string(risk.rawValue),
        ]).text, dedupeKey: "\(id):vote_requested"),
      policies.matrix.value)
    return true
  }

  /// Casts a role's vote, which replaces its earlier one, and decides the proposal if the votes do.
  ///
  /// - Throws: In this order: `OPS_012` if there is no vote over the proposal; `OPS_013` if the role may not vote over
  ///   it; `OPS_004` or `OPS_005` if the vote approves it and its template cannot run.
  public mutating func vote(
    _ ballot: Proposal.Ballot, on proposal: Proposal, policies: Policies, executors: Set<String>
  ) throws(OpsError) -> VoteOutcome {
    guard proposal.status == .voting else { throw .decided(proposal, "vote on") }
    let rules = policies.rules(of: proposal)
    guard rules.admits(ballot.role) else { throw .notAVoter(ballot.role, rules, proposal) }
    guard at <= rules.deadline else {
      append(.voteExpired, of: Proposal.self, to: proposal.id)
      return VoteOutcome(status: .pending, missionID: nil, consensus: nil)
    }
    append(.voteCast(ballot), of: Proposal.self, to: proposal.id)
    return try count(row(proposal.id, of: Proposal.self) ?? proposal, rules, executors)
  }

  /// Counts the votes in a proposal's row, and decides it if they do.
  mutating func count(
    _ proposal: Proposal, _ rules: VoteRules, _ executors: Set<String>
  ) throws(OpsError) -> VoteOutcome {
    let consensus = proposal.consensus(under: rules)
    switch consensus {
    case .approved(let roles):
      let template = try proposal.checkedTemplate(executors)
      append(
        .approved(reason: "voted for by \(roles.joined(separator: ", "))"), of: Proposal.self,
        to: proposal.id)
      let mission = createMission(of: proposal.id, template)
      return VoteOutcome(status: .approved, missionID: mission, consensus: consensus)
    case .vetoed(let role, let reason):
      append(
        .rejected(reason: "vetoed by \(role)" + (reason.map { ": \($0)" } ?? "")),
        of: Proposal.self, to: proposal.id)
      return VoteOutcome(status: .rejected, missionID: nil, consensus: consensus)
    case .open:
      return VoteOutcome(status: .voting, missionID: nil, consensus: consensus)
    }
  }

  /// Ends a vote after its deadline. The proposal then waits for a person.
  ///
  /// - Returns: Whether the deadline has passed.
  public mutating func expireVote(over proposal: Proposal, policies: Policies) -> Bool {
    let deadline = policies.rules(of: proposal).deadline
    guard proposal.status == .voting, at.isAfter(spanFrom: proposal.createdAt, to: deadline) else {
      return false
    }
    append(.voteExpired, of: Proposal.self, to: proposal.id)
    return true
  }
}

extension Policies {
  /// The roles that may vote, sorted by bytes: those of policy `agent_roles`, and the required ones.
  func voters(besides required: [String]) -> [String] {
    Set((roles.value?.names ?? []) + required)
      .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// The rules in a proposal's row. A row whose vote a manual change began has none. It gets the policy's present
  /// rules, from its creation on.
  public func rules(of proposal: Proposal) -> VoteRules {
    var rules = proposal.voteRules ?? present(for: proposal)
    rules.voters = rules.voters ?? voters(besides: rules.requiredVoters)
    return rules
  }

  private func present(for proposal: Proposal) -> VoteRules {
    let risk = proposal.template.asJSON["risk_level"]?.stringValue.flatMap(Risk.init) ?? .medium
    if let policy = voting.value { return policy.rules(for: risk, at: proposal.createdAt) }
    return VoteRules(
      threshold: VotingPolicy.thresholdDefault,
      deadline: proposal.createdAt.adding(seconds: VotingPolicy.deadlineMinutesDefault * 60),
      requiredVoters: [], veto: true)
  }
}

extension OpsError {
  fileprivate static func notAVoter(
    _ role: String, _ rules: VoteRules, _ proposal: Proposal
  ) -> OpsError {
    let voters = rules.voters ?? []
    let shown = voters.prefix(10).joined(separator: ", ") + (voters.count > 10 ? ", …" : "")
    return OpsError(
      .notAllowed, "\(role) may not vote on proposal \(proposal.id)",
      hint: voters.isEmpty
        ? "policies agent_roles and voting_policy named no role when the vote was called"
        : "policies agent_roles and voting_policy named these roles when the vote was called: \(shown)",
      facts: ["proposal_id": proposal.id.description, "role": role])
  }
}
