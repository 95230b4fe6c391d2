import JSON
public import Ledger
import Log

/// A policy that is invalid or missing.
public struct PolicyFault: Equatable, Sendable {
  public var key: String
  public var error: OpsError
  /// The version that applies instead.
  public var versionInForce: Int32?

  /// The error and its consequence in one line.
  public var words: String {
    (error.message.contains(key) ? "" : "policy \(key): ") + error.message + "; " + consequence
  }

  /// What the loop does until the policy is valid.
  public var consequence: String {
    if let versionInForce { return "version \(versionInForce) applies" }
    return switch key {
    case AutoApprove.key: "no proposal is approved automatically"
    case ProposalCaps.key: "the caps count as reached, so every proposal is refused"
    case WorkerPolicy.key:
      error.code == .policyNotFound ? "nothing limits the workers" : "no step runs"
    case ReactionMatrix.key: "no agent event is processed"
    case LoopState.key: "the loop is halted"
    case VotingPolicy.key: "no vote is held"
    case AgentRoles.key: "only required voters may vote"
    case RetentionPolicy.key: "nothing is archived"
    default: "opsledger does not read this policy"
    }
  }
}

extension Engine {
  /// The policies that are invalid now, and the engine's policies that are missing.
  public func policyFaults() throws(OpsError) -> [PolicyFault] {
    let policies = try policies()
    var faults = policies.errors.map { key, error in
      PolicyFault(key: key, error: error, versionInForce: policies.heldVersions[key])
    }
    // Policies that the loop does not read.
    for policy in try session.list(.policies(limit: 10_000))
    where policies.errors[policy.key] == nil && !Policies.keys.contains(policy.key) {
      do throws(OpsError) {
        try Policies.check(key: policy.key, value: (try? JSON(parsing: policy.value)) ?? .null)
      } catch {
        faults.append(PolicyFault(key: policy.key, error: error))
      }
    }
    return faults.sorted { $0.key < $1.key }
  }
}
