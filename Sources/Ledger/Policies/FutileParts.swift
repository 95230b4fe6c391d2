public import JSON

/// Warnings about parts of a policy that can have no effect. They are allowed, since policy and program may change in
/// any order.
extension Policies {
  /// - Parameters:
  ///   - executors: The executors of this release.
  ///   - roles: The roles of policy `agent_roles`; nil if they are not known.
  public static func futileParts(
    of key: String, _ value: JSON, executors: Set<String>, roles: Set<String>?
  ) -> [String] {
    let parts: [String]
    switch key {
    case ReactionMatrix.key:
      parts = (value["patterns"]?.arrayValue ?? []).enumerated().flatMap { index, pattern in
        futileParts(ofPattern: pattern, executors).map {
          "pattern \(pattern["id"]?.stringValue ?? "number \(index)"): \($0)"
        }
      }
    case AutoApprove.key:
      parts = unknown(value["allowed_executors"], besides: executors).map {
        "allowed_executors: there is no executor \($0)"
      }
    case WorkerPolicy.key:
      parts = ["allowed_executors", "blocked_executors"].flatMap { field in
        unknown(value[field], besides: executors).map { "\(field): there is no executor \($0)" }
      }
    case VotingPolicy.key: parts = futileParts(ofVoting: value, roles)
    default: parts = []
    }
    return parts.map { "policy \(key): \($0)" }
  }

  private static func unknown(_ list: JSON?, besides known: Set<String>) -> [String] {
    (list?.arrayValue ?? []).compactMap(\.stringValue).filter { !known.contains($0) }
  }

  private static func futileParts(ofVoting value: JSON, _ roles: Set<String>?) -> [String] {
    guard let roles, let policy = try? VotingPolicy(value), policy.enabled else { return [] }
    let voters = roles.union(policy.requiredVoters)
    var parts = policy.requiredVoters.filter { !roles.contains($0) }.map {
      "required_voters: \($0) is not a role of policy agent_roles"
    }
    for risk in Risk.allCases where risk > .low {
      let threshold = Int(policy.thresholds[risk] ?? VotingPolicy.thresholdDefault)
      guard threshold > voters.count else { continue }
      parts.append(
        "thresholds.\(risk.rawValue): a vote needs \(threshold) approvals, and only \(voters.count) roles may vote"
      )
    }
    return parts
  }

  private static func futileParts(ofPattern pattern: JSON, _ executors: Set<String>) -> [String] {
    var parts: [String] = []
    let types = pattern["event_type"] ?? pattern["type"]
    let names = types?.arrayValue ?? types.map { [$0] }
    if let names, names.allSatisfy({ $0 == .string("") }) {
      parts.append("its event_type matches no event")
    }
    if pattern["probability"]?.doubleValue == 0 {
      parts.append("its probability is 0: it never reacts")
    }
    if pattern["dedupe_key"] == .string("") {
      parts.append("its dedupe_key is empty: it never reacts")
    }
    if let template = pattern["template"] ?? pattern["proposal"] {
      let sample = sample(of: template, executor: executors.min() ?? "")
      do { _ = try Template(sample, executors: executors) } catch {
        parts.append("its proposals cannot run: \(error.message)")
      }
    }
    return parts
  }

  /// A template in which allowed values replace the placeholders.
  private static func sample(of template: JSON, executor: String) -> JSON {
    guard var members = template.objectValue else { return template }
    let step = JSON.object(["kind": .string(executor)])
    fill(
      &members,
      [
        "title": .string(""), "description": .string(""), "risk_level": .string("low"),
        "parallel": .bool(false), "steps": .array([step]),
      ])
    if let steps = members["steps"]?.arrayValue {
      members["steps"] = .array(
        steps.map { isFilled($0) ? step : sample(ofStep: $0, executor: executor) })
    }
    return .object(members)
  }

  private static func sample(ofStep step: JSON, executor: String) -> JSON {
    guard var members = step.objectValue else { return step }
    // The kind is the default of the executor.
    if members["executor"] == nil, let kind = members["kind"], isFilled(kind) {
      members["executor"] = .string(executor)
    }
    fill(
      &members,
      [
        "kind": .string(executor), "executor": .string(executor), "params": .object([:]),
        "max_retries": .int(1), "needs": .array([]),
      ])
    if let needs = members["needs"]?.arrayValue {
      members["needs"] = .array(needs.filter { !isFilled($0) })
    }
    return .object(members)
  }

  private static func fill(_ members: inout [String: JSON], _ samples: [String: JSON]) {
    for (name, sample) in samples where members[name].map(isFilled) == true {
      members[name] = sample
    }
  }

  /// Whether a value has a placeholder.
  private static func isFilled(_ value: JSON) -> Bool {
    value.stringValue.map { $0.contains("{{") } ?? false
  }
}
