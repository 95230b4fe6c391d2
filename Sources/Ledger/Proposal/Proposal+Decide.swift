/// The reason why a proposal is not auto-approved.
public struct AutoApprovalRefusal: Equatable, Sendable {
  /// The policy and its field: `auto_approve.max_risk_level`.
  public var rule: String
  public var words: String

  public init(rule: String, words: String) {
    self.rule = rule
    self.words = words
  }
}

extension Proposal {
  public enum Command: Equatable, Sendable {
    case approve(reason: String?)
    case reject(reason: String?)
  }

  /// The events of a person's decision. A decision that was made before has none.
  ///
  /// - Throws: `OPS_012` if the opposite was decided before.
  public static func decide(
    _ command: Command, given proposal: Proposal
  ) throws(OpsError) -> [Event] {
    switch (command, proposal.status) {
    case (.approve(let reason), .pending), (.approve(let reason), .voting):
      return [.approved(reason: reason)]
    case (.approve, .approved), (.approve, .autoApproved): return []
    case (.reject(let reason), .pending), (.reject(let reason), .voting):
      return [.rejected(reason: reason)]
    case (.reject, .rejected): return []
    case (.approve, .rejected): throw .decided(proposal, "approve")
    case (.reject, .approved), (.reject, .autoApproved): throw .decided(proposal, "reject")
    }
  }

  public var isApproved: Bool {
    switch status {
    case .approved, .autoApproved: true
    case .pending, .voting, .rejected: false
    }
  }
}

extension OpsError {
  static func decided(_ proposal: Proposal, _ verb: String) -> OpsError {
    OpsError(
      .conflict, "cannot \(verb) proposal \(proposal.id): it is \(proposal.status.rawValue)",
      hint: "see `opsledger proposal show \(proposal.id)`",
      facts: ["proposal_id": proposal.id.description, "status": proposal.status.rawValue])
  }
}
