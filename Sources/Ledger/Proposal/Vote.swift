import JSON

/// The rules of a vote when it was called. The proposal's row keeps them, so a later change of the policy does not
/// change them.
public struct VoteRules: Equatable, Sendable {
  /// The number of approvals that it needs.
  public var threshold: Int32
  /// After the deadline, the proposal waits for a person.
  public var deadline: Instant
  /// Roles that must have voted, for it or against it, before it can be approved.
  public var requiredVoters: [String]
  /// Whether one vote against it rejects it.
  public var veto: Bool
  /// Roles whose votes count, with the required voters. Nil in a row of a manual change: the policies name the roles
  /// then.
  public var voters: [String]?

  /// Whether a role's vote counts.
  public func admits(_ role: String) -> Bool { voters?.contains(role) ?? true }

  static let member = "vote"

  var json: JSON {
    var members: [String: JSON] = [
      "threshold": .int(threshold), "deadline": .string(deadline.description),
      "required_voters": .array(requiredVoters.map(JSON.string)), "veto": .bool(veto),
    ]
    if let voters { members["voters"] = .array(voters.map(JSON.string)) }
    return .object(members)
  }

}

extension VoteRules {
  /// - Parameter value: A value of ``json``.
  init?(_ value: JSON) {
    guard let threshold = value["threshold"]?.intValue.flatMap(Int32.init(exactly:)),
      let deadline = value["deadline"]?.stringValue.flatMap({ Instant($0) })
    else { return nil }
    self.init(
      threshold: threshold, deadline: deadline,
      requiredVoters: (value["required_voters"]?.arrayValue ?? []).compactMap(\.stringValue),
      veto: value["veto"]?.boolValue ?? true,
      voters: value["voters"]?.arrayValue.map { $0.compactMap(\.stringValue) })
  }
}

/// The result of the votes so far.
public enum Consensus: Equatable, Sendable {
  case approved(by: [String])
  /// With a veto, one vote against it is enough.
  case vetoed(by: String, reason: String?)
  case open(approvalsMissing: Int, votersMissing: [String])
}

extension Proposal {
  /// The limit of a role's name.
  public static let roleBytesMax = 100

  /// One role's vote in the row.
  public struct CastVote: Equatable, Sendable {
    public var role: String
    public var vote: Vote
    public var reason: String?
    public var at: String?
  }

  /// The votes so far, by role. An entry of a manual change that is not a vote is ignored.
  public var castVotes: [CastVote] {
    let members = votes?.asJSON.objectValue ?? [:]
    return members.sorted { $0.key < $1.key }.compactMap { role, value in
      guard let vote = value["vote"]?.stringValue.flatMap(Vote.init) else { return nil }
      return CastVote(
        role: role, vote: vote, reason: value["reason"]?.stringValue,
        at: value["created_at"]?.stringValue)
    }
  }

  public var voteRules: VoteRules? {
    policySnapshot?.asJSON[VoteRules.member].flatMap(VoteRules.init)
  }

  public func consensus(under rules: VoteRules) -> Consensus {
    let cast = castVotes.filter { rules.admits($0.role) }
    if rules.veto, let against = cast.first(where: { $0.vote == .reject }) {
      return .vetoed(by: against.role, reason: against.reason)
    }
    let approving = cast.filter { $0.vote == .approve }.map(\.role)
    let missing = rules.requiredVoters.filter { role in !cast.contains { $0.role == role } }
    let wanted = Int(rules.threshold) - approving.count
    return wanted <= 0 && missing.isEmpty
      ? .approved(by: approving)
      : .open(approvalsMissing: max(0, wanted), votersMissing: missing)
  }
}
