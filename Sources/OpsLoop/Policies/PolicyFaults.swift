import JSON
public import Ledger
import Log

/// A policy that is broken or gone, and what the loop makes of it.
public struct PolicyFault: Equatable, Sendable {
  public var key: String
  public var error: OpsError
  /// The version that holds instead, where one does.
  public var versionInForce: Int32?

  /// What is wrong, and what follows from it.
  public var words: String {
    (error.message.contains(key) ? "" : "policy \(key): ") + error.message + "; " + consequence
  }

  /// What follows from it.
  public var consequence: String {
    if let versionInForce { return "version \(versionInForce) is in force" }
    return switch key {
    case AutoApprove.key: "nothing is approved by itself"
    case ProposalCaps.key: "the caps count as reached, so that no proposal is let through"
    case WorkerPolicy.key:
      error.code == .policyNotFound ? "nothing limits the workers" : "no step is run"
    case ReactionMatrix.key: "no agent event is taken"
    case LoopState.key: "the loop is halted"
    case VotingPolicy.key: "no votes are called"
    case AgentRoles.key: "only required voters may vote"
    case RetentionPolicy.key: "nothing leaves"
    default: "nothing of opsledger reads it"
    }
  }
}

extension Engine {
  /// Policies that are broken as they now stand, and those of the engine's own that are not there.
  public func policyFaults() throws(OpsError) -> [PolicyFault] {
    let policies = try policies()
    var faults = policies.errors.map { key, error in
      PolicyFault(key: key, error: error, versionInForce: policies.heldVersions[key])
    }
    // What the loop does not read is broken all the same.
    for policy in try session.list(.policies(limit: 10_000))
    where policies.errors[policy.key] == nil {
      guard !Policies.keys.contains(policy.key) else { continue }
      do throws(OpsError) {
        try Policies.check(key: policy.key, value: (try? JSON(parsing: policy.value)) ?? .null)
      } catch {
        faults.append(PolicyFault(key: policy.key, error: error))
      }
    }
    return faults.sorted { $0.key < $1.key }
  }
}
