import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import TestSupport

/// Proposals, and what is decided over them.
extension Game {
  private static let broken = [
    #"{"steps": []}"#, #"{"steps": [{"kind": "sing"}]}"#, #"{"steps": [{"params": {}}]}"#,
    #"{"risk_level": "critical", "steps": [{"kind": "noop"}]}"#,
    #"{"steps": [{"kind": "noop", "needs": [0]}]}"#,
    #"{"steps": [{"kind": "noop", "needs": [1]}, {"kind": "noop", "needs": [0]}]}"#,
    #"{"steps": [{"kind": "noop", "max_retries": 1.5}]}"#, "[1]",
  ]

  private func template() throws -> String {
    if generator.below(25) == 0 { return generator.pick(Self.broken) }
    submitted += 1
    let count = isFragile ? 4 : 1 + generator.below(4)
    let steps = (0..<count).map { index in
      var members = [#""kind": "\#(generator.pick(["noop", "noop", "radar"]))""#]
      if !isFragile, generator.below(5) < 2 {
        members.append(#""max_retries": \#(generator.below(3))"#)
      }
      if index > 1, generator.flip() { members.append(#""needs": [0]"#) }
      if generator.below(8) == 0 { members.append(#""executor": "noop""#) }
      return "{\(members.joined(separator: ", "))}"
    }
    var members = [
      #""title": "p\#(submitted)""#, #""steps": [\#(steps.joined(separator: ", "))]"#,
      #""parallel": \#(isFragile || generator.flip())"#,
    ]
    if let risk = generator.pick(["low", "low", "low", "medium", "high", nil]) {
      members.append(#""risk_level": "\#(risk)""#)
    }
    return try JSON(parsing: "{\(members.joined(separator: ", "))}").text
  }

  func submit() throws {
    let template = try template()
    let key = generator.below(3) == 0 ? "key-\(generator.below(4))" : nil
    let source = generator.pick(Proposal.Source.allCases)
    var ids: (StreamID?, String?)
    let ours = try answer {
      let outcome = try engine.submit(JSON(parsing: template), source: source, dedupeKey: key)
      ids.0 = outcome.proposalID
      return "\(outcome.status.rawValue) \(outcome.missionID != nil) \(outcome.reason ?? "")"
    }
    let theirs = try answer {
      let row = try client.ask(
        """
        SELECT r_status || ' ' || (r_mission_id IS NOT NULL)::text || ' ' || coalesce(r_reason, ''),
          r_proposal_id::text
        FROM public.ops_create_proposal_and_maybe_autoapprove($1::text, $2::text, ($3::text)::jsonb)
        """, [key, source.rawValue, template])
      ids.1 = row.first?[1]
      return row.first?[0] ?? "no row"
    }
    try expect(ours, theirs, "submit \(template)")
    if let left = ids.0, let right = ids.1, !proposals.contains(where: { $0.left == left }) {
      proposals.append((left, right))
    }
  }

  /// - Parameter isSure: Over one that a vote is held over, where there is one.
  func vote(isSure: Bool) throws {
    guard var target = proposals.randomElement(using: &generator) else { return }
    if isSure {
      let voting = try left.ask(
        "SELECT id::text FROM public.ops_mission_proposals WHERE status = 'voting'"
      ).compactMap { $0[0] }
      let open = proposals.filter { voting.contains($0.left.description) }
      guard let one = open.randomElement(using: &generator) else { return }
      target = one
    }
    let vote = generator.pick([Proposal.Vote.approve, .approve, .approve, .abstain, .reject])
    let role = generator.pick(["sage", "observer", "architect", "sage", "observer", "stranger"])
    let why = generator.pick([nil, "since"])
    let ours = try answer {
      try engine.vote(vote, on: target.left, as: role, why: why).status.rawValue
    }
    let theirs = try answer {
      try client.ask(
        "SELECT public.ops_cast_vote(($1::text)::uuid, $2::text, $3::text, $4::text)->>'status'",
        [target.right, role, vote.rawValue, why])[0][0] ?? ""
    }
    // After the deadline the engine refuses a vote, and the function says what has become of it.
    if ours == "OPS_012", theirs == "pending" { return }
    try expect(ours, theirs, "vote")
  }

  /// As the origin's endpoint does: an UPDATE, then the function.
  func approve() throws {
    guard let target = proposals.randomElement(using: &generator) else { return }
    let ours = try answer {
      _ = try engine.approve(target.left, why: nil)
      return "a mission"
    }
    let theirs = try answer {
      _ = try client.ask(
        """
        UPDATE public.ops_mission_proposals SET status = 'approved', approved_at = ledger.now()
        WHERE id = ($1::text)::uuid AND status IN ('pending', 'voting')
        """, [target.right])
      _ = try client.ask(
        "SELECT public.ops_create_mission_from_proposal(($1::text)::uuid)::text", [target.right])
      return "a mission"
    }
    try expect(ours, theirs, "approve")
  }

  func reject() throws {
    guard let target = proposals.randomElement(using: &generator) else { return }
    _ = try answer {
      try engine.reject(target.left, why: "no")
      return ""
    }
    _ = try client.ask(
      """
      UPDATE public.ops_mission_proposals SET status = 'rejected', reason = 'no'
      WHERE id = ($1::text)::uuid AND status IN ('pending', 'voting')
      """, [target.right])
  }

  /// Counting once more changes nothing, unless the deadline has passed, which the engine's next vote
  /// would find.
  func check() throws {
    guard let target = proposals.randomElement(using: &generator) else { return }
    let status =
      try left.ask(
        """
        SELECT CASE WHEN status = 'voting' AND (policy_snapshot->'vote'->>'deadline')::timestamptz
          < ($2::text)::timestamptz THEN 'over' ELSE status::text END
        FROM public.ops_mission_proposals WHERE id = ($1::text)::uuid
        """, target.left.description, Instant(micros: now).description)[0][0] ?? ""
    if status == "over" {
      _ = try answer {
        _ = try engine.vote(.approve, on: target.left, as: "sage", why: nil)
        return ""
      }
    }
    let counted = try client.ask(
      "SELECT public.ops_check_consensus(($1::text)::uuid)->>'status'", [target.right])[0][0]
    try expect(status == "over" ? "pending" : status, counted ?? "", "count")
  }

  // MARK: Policies

  private static let policies = [
    ("proposal_caps", #"{"daily_limit": 4}"#), ("proposal_caps", "{}"), ("proposal_caps", "{}"),
    ("proposal_caps", #"{"per_source": {"api": 1}, "per_source_limits": {"manual": 1}}"#),
    ("auto_approve", #"{"enabled": true, "max_risk_level": "low"}"#),
    ("auto_approve", #"{"enabled": true}"#), ("auto_approve", #"{"enabled": false}"#),
    ("auto_approve", #"{"enabled": true, "allowed_step_kinds": ["noop"]}"#),
    (
      "auto_approve",
      #"{"enabled": true, "allowed_step_kinds": ["noop", "radar"], "allowed_executors": ["radar"]}"#
    ),
    ("voting_policy", #"{"enabled": true, "thresholds": {"medium": 1}, "deadline_minutes": 5}"#),
    ("voting_policy", #"{"enabled": true, "required_voters": ["sage"], "veto": false}"#),
    ("voting_policy", #"{"enabled": true, "thresholds": {"high": 1}}"#),
    ("voting_policy", #"{"enabled": false}"#),
    ("agent_roles", #"{"sage": {}, "observer": {"vote": false}}"#), ("agent_roles", "{}"),
    ("agent_roles", #"{"sage": {}, "observer": {}, "architect": {}, "z\u00e9": {}}"#),
    ("worker_policy", #"{"max_retries": 2}"#), ("worker_policy", #"{"max_retries": 1}"#),
    ("worker_policy", "{}"), ("worker_policy", #"{"blocked_executors": ["radar"]}"#),
    ("worker_policy", #"{"allowed_executors": ["noop"]}"#), ("worker_policy", "{}"),
    (
      "reaction_matrix",
      #"{"patterns": [{"id": "a", "event_type": ["mission:failed", "x"], "template": {}}]}"#
    ),
    (
      "reaction_matrix",
      #"{"patterns": [{"id": "b", "type": "proposal:*", "template": {}}]}"#
    ),
  ]
  /// What only a manual change could write: both sides' manual changes do.
  private static let brokenPolicies = [
    ("proposal_caps", #"{"daily_limit": "many"}"#), ("auto_approve", #"{"enabled": "yes"}"#),
    ("auto_approve", #"{"enabled": true, "allowed_step_kinds": null}"#), ("voting_policy", "[]"),
    ("voting_policy", #"{"enabled": true, "thresholds": {"low": 0}}"#),
    ("agent_roles", #"{"sage": {}, "observer": 1}"#), ("agent_roles", "[]"),
  ]

  func setPolicy() throws {
    if generator.below(12) == 0 { return try setLoop(halted: true) }
    if generator.below(10) == 0 {
      let (key, value) = generator.pick(Self.brokenPolicies)
      try left.set(clock: now)
      _ = try left.ask(Self.write, key, value)
      _ = try client.ask(Self.write, [key, value])
      return
    }
    let (key, value) = generator.pick(Self.policies)
    if isFragile, key == "worker_policy" { return }
    try set(policy: key, to: value)
  }

  func set(policy key: String, to value: String) throws {
    _ = try engine.setPolicy(key, to: JSON(parsing: value), why: nil)
    _ = try client.ask(Self.write, [key, value])
  }

  private static let write = """
    UPDATE public.ops_policy SET value = ($2::text)::jsonb, version = version + 1, updated_at = now()
    WHERE key = $1::text AND value <> ($2::text)::jsonb
    """

  func setLoop(halted: Bool) throws {
    isHalted = halted
    _ = try engine.setLoop(halted ? .halted : .running, why: "test")
    let value = try left.ask("SELECT value::text FROM public.ops_policy WHERE key = 'loop'")[0][0]
    _ = try client.ask(Self.write, ["loop", value])
  }
}
