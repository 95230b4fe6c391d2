public import JSON

/// The fields of each policy. Other fields are allowed, since another program may use them. They give a warning, since
/// they may be misspelt.
enum PolicyFieldNames {
  /// Nil for a policy that opsledger does not read.
  static func known(_ key: String) -> Set<String>? {
    switch key {
    case AutoApprove.key:
      ["enabled", "allowed_step_kinds", "allowed_executors", "max_risk_level"]
    case ProposalCaps.key: ["daily_limit", "per_source", "per_source_limits"]
    case WorkerPolicy.key:
      [
        "max_retries", "lease_minutes", "allowed_executors", "blocked_executors",
        // For executors that opsledger does not have yet.
        "allowed_openclaw_subcommands", "allowed_openclaw_commands", "allowed_subcommands",
        "allowed_tools", "openclaw_timeout_ms",
      ]
    case ReactionMatrix.key: ["patterns", "max_causation_depth"]
    case LoopState.key: ["state", "why"]
    case VotingPolicy.key:
      ["enabled", "thresholds", "required_voters", "veto", "deadline_minutes"]
    case RetentionPolicy.key: ["succeeded_days", "failed_days", "log_days", "copies"]
    default: nil
    }
  }

  static let pattern: Set<String> = [
    "id", "name", "event_type", "type", "tags", "source", "condition", "probability",
    "cooldown_minutes", "dedupe_key", "proposal_source", "template", "proposal",
  ]
}

extension Policies {
  /// Warnings about fields that nothing reads.
  public static func warnings(key: String, value: JSON) -> [String] {
    guard let known = PolicyFieldNames.known(key) else { return [] }
    var warnings = unknown(value, known).map { "policy \(key): nothing reads the field \($0)" }
    guard key == ReactionMatrix.key else { return warnings }
    for (index, pattern) in (value["patterns"]?.arrayValue ?? []).enumerated() {
      let name = pattern["id"]?.stringValue ?? "number \(index)"
      warnings += unknown(pattern, PolicyFieldNames.pattern).map {
        "policy \(key): pattern \(name): nothing reads the field \($0)"
      }
    }
    return warnings
  }

  private static func unknown(_ value: JSON, _ known: Set<String>) -> [String] {
    (value.objectValue ?? [:]).keys.filter { !known.contains($0) }.sorted()
  }
}
