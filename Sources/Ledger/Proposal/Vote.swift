import JSON

/// The rules under which a vote is held, as they stood when it was called: the proposal's own row keeps
/// them, so that a policy that changes meanwhile does not move the goalposts.
public struct VoteRules: Equatable, Sendable {
  /// Approvals that it takes.
  public var threshold: Int32
  /// After this the vote is over, and the proposal waits for a person.
  public var deadline: Instant
  /// Roles that must have voted, whatever they say, before it can be approved.
  public var requiredVoters: [String]
  /// Whether one vote against it rejects it.
  public var veto: Bool
  /// Roles whose votes count, the required voters among them. Nil where a hand made the row, and it keeps none: then
  /// they are those that the policies name.
  public var voters: [String]?

  public init(
    threshold: Int32, deadline: Instant, requiredVoters: [String], veto: Bool,
    voters: [String]? = nil
  ) {
    self.threshold = threshold
    self.deadline = deadline
    self.requiredVoters = requiredVoters
    self.veto = veto
    self.voters = voters
  }

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

  /// - Parameter value: What ``json`` made.
  init?(_ value: JSON) {
    guard let threshold = value["threshold"]?.intValue.flatMap(Int32.init(exactly:)),
      let deadline = value["deadline"]?.stringValue.flatMap({ Instant($0) })
    else { return nil }
    self.threshold = threshold
    self.deadline = deadline
    requiredVoters = (value["required_voters"]?.arrayValue ?? []).compactMap(\.stringValue)
    veto = value["veto"]?.boolValue ?? true
    voters = value["voters"]?.arrayValue.map { $0.compactMap(\.stringValue) }
  }
}

/// What the votes so far come to.
public enum Consensus: Equatable, Sendable {
  case approved(by: [String])
  /// With a veto, one vote against it is enough.
  case vetoed(by: String, reason: String?)
  case open(approvalsMissing: Int, votersMissing: [String])
}

extension Proposal {
  /// Limits of a role's name, in bytes.
  public static let roleBytesMax = 100

  /// One role's vote, as the row keeps it.
  public struct CastVote: Equatable, Sendable {
    public var role: String
    public var vote: Vote
    public var reason: String?
    public var at: String?
  }

  /// The votes so far, by role; what a hand wrote that is no vote is passed over.
  public var castVotes: [CastVote] {
    let members = votes.flatMap { try? JSON(parsing: $0) }?.objectValue ?? [:]
    return members.sorted { $0.key < $1.key }.compactMap { role, value in
      guard let vote = value["vote"]?.stringValue.flatMap(Vote.init) else { return nil }
      return CastVote(
        role: role, vote: vote, reason: value["reason"]?.stringValue,
        at: value["created_at"]?.stringValue)
    }
  }

  /// The rules of the vote that was called over it.
  public var voteRules: VoteRules? {
    policySnapshot.flatMap { try? JSON(parsing: $0) }?[VoteRules.member].flatMap(VoteRules.init)
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
