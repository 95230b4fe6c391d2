import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import TestSupport

/// What people change of the rules, and when they stop everything.
extension Player {
  /// Reaction matrices that differ in what they react to: with conditions, with chains of reactions.
  /// A pattern has the same probability in each, so that what chance decided can be checked.
  static let matrices = [
    matrix(#""event_type": ["job:*", "build:failed"]"#, depth: 16),
    matrix(#""event_type": ["job:*", "other"], "condition": "$.size ? (@ < 5)""#, depth: 3),
    matrix(#""event_type": "*", "condition": "exists($.mark2) || $.key == \"key-1\"""#, depth: 2),
  ]

  private static func matrix(_ one: String, depth: Int) -> String {
    let chain = """
      {"id": "chain", "event_type": "mission:succeeded", "probability": 0.5,
        "template": {"risk_level": "low", "steps": [{"kind": "noop"}]}},
      """
    return """
      {"max_causation_depth": \(depth), "patterns": [\(depth < 16 ? chain : "")
        {"id": "one", \(one), "template": {"risk_level": "low", "parallel": true,
          "title": "{{ event.data.mark }}", "steps": [{"kind": "noop"}, {"kind": "noop"},
            {"kind": "radar", "max_retries": 1, "needs": [0], "params": {"action": "list"}}]}},
        {"id": "two", "event_type": "job:odd", "cooldown_minutes": 1,
          "dedupe_key": "{{ event.data.key }}", "proposal_source": "trigger",
          "template": {"risk_level": "medium",
            "steps": [{"kind": "radar", "params": {"action": "list"}}]}},
        {"id": "unknown", "event_type": "job:unknown", "template": {"steps": [{"kind": "sing"}]}},
        {"id": "rare", "event_type": "*", "probability": 0.1, "tags": ["rare"],
          "template": {"risk_level": "low", "steps": [{"kind": "noop"}]}},
        {"id": "own", "event_type": "mission:failed", "template": {"risk_level": "high",
          "title": "{{ event.data.mission_id }}", "steps": [{"kind": "noop"}]}}]}
      """
  }

  private static let values =
    [
      ("proposal_caps", #"{"daily_limit": 400}"#), ("proposal_caps", "{}"),
      ("proposal_caps", #"{"per_source": {"api": 2, "reaction": 30}}"#),
      ("auto_approve", #"{"enabled": true, "max_risk_level": "low"}"#),
      ("auto_approve", #"{"enabled": true, "max_risk_level": "low"}"#),
      ("auto_approve", #"{"enabled": false}"#),
      ("voting_policy", #"{"enabled": true, "thresholds": {"medium": 1}, "deadline_minutes": 5}"#),
      ("voting_policy", #"{"enabled": true, "required_voters": ["sage"], "veto": false}"#),
      ("voting_policy", #"{"enabled": false}"#),
      ("worker_policy", #"{"max_retries": 2, "lease_minutes": 2}"#),
      ("worker_policy", #"{"max_retries": 1}"#), ("worker_policy", "{}"),
      ("worker_policy", #"{"blocked_executors": ["radar"]}"#),
    ] + matrices.map { ("reaction_matrix", $0) }

  func setPolicy() throws {
    let (key, value) = generator.pick(Self.values)
    let json = try JSON(parsing: value)
    try change { why throws(OpsError) in
      try engine.setPolicy(key, to: json, why: why).isChanged
    }
  }

  func rollBack() throws {
    let key = generator.pick([
      "proposal_caps", "auto_approve", "voting_policy", "worker_policy", "reaction_matrix", "loop",
    ])
    let version = Int32(1 + generator.below(4))
    try change { why throws(OpsError) in
      do throws(OpsError) {
        let change = try engine.rollbackPolicy(key, to: version, why: why)
        return change.isChanged
      } catch {
        // A version that it never had; and policy loop is not rolled back.
        guard error.code == (key == "loop" ? .notAllowed : .notFound) else { throw error }
        return false
      }
    }
  }

  func setLoop(_ state: LoopState.State) throws {
    let number = world.beginLoop(state)
    var answer: Bool?
    defer { world.endLoop(number, state, isAnswered: answer != nil) }
    try change { why throws(OpsError) in
      let changed = try engine.setLoop(state, why: why)
      answer = changed
      return changed
    }
  }

  func pauseExecutor(_ isPaused: Bool) throws {
    let name = generator.pick(["noop", "radar"])
    world.with { $0.isPausing = isPaused }
    try change { why throws(OpsError) in
      try engine.pauseExecutor(name, isPaused, why: why)
    }
  }

  /// Changes a policy, and remembers what was answered: whether anything is new.
  private func change(_ body: (String) throws(OpsError) -> Bool) throws {
    let mark = world.newMark()
    world.with { $0.promises.changed[mark] = .some(nil) }
    // A change that was cut off may be committed later than its caller ends. Where all play in turn,
    // what comes next must be later, since it is compared with the policies of its time.
    defer { if pairs != nil { try? clock.settle() } }
    let isNew = try body(mark)
    world.with { $0.promises.changed[mark] = isNew }
  }
}
