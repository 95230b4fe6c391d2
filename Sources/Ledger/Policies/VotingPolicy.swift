public import JSON

/// Policy `voting_policy`: the votes over proposals that are not auto-approved. If it is broken or absent, no vote is
/// called, and these proposals wait for a person.
public struct VotingPolicy: PolicyValue, Equatable {
  public static let key = "voting_policy"

  public var enabled: Bool
  public var thresholds: [Risk: Int32]
  public var requiredVoters: [String]
  public var veto: Bool
  public var deadlineMinutes: Double

  /// The approvals that a vote needs if the policy has no number.
  public static let thresholdDefault: Int32 = 2
  public static let deadlineMinutesDefault = 60.0

  public init(_ value: JSON) throws(OpsError) {
    let fields = try FieldReader(Self.key, value, code: .badInput)
    enabled = try fields.bool("enabled") ?? false
    thresholds = [:]
    for (name, count) in try fields.object("thresholds") ?? [:] {
      guard let risk = Risk(rawValue: name) else {
        throw fields.wrong("thresholds.\(name)", "a threshold of risk low, medium or high")
      }
      guard let number = count.intValue, (1...100).contains(number) else {
        throw fields.wrong("thresholds.\(name)", "a whole number from 1 to 100")
      }
      thresholds[risk] = Int32(number)
    }
    requiredVoters = try fields.strings("required_voters") ?? []
    veto = try fields.bool("veto") ?? true
    deadlineMinutes = try fields.positive("deadline_minutes") ?? Self.deadlineMinutesDefault
  }

  /// The rules of a vote that is called at a moment.
  public func rules(for risk: Risk, at instant: Instant) -> VoteRules {
    VoteRules(
      threshold: thresholds[risk] ?? Self.thresholdDefault,
      deadline: instant.adding(seconds: deadlineMinutes * 60), requiredVoters: requiredVoters,
      veto: veto)
  }
}
