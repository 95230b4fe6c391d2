import Ledger
import Postgres
import Synchronization

/// How often each command met each state: a sweep (claim, recover, heartbeat) meets every state that
/// some row is in, the others the state of the row that they name.
final class Pairs: Sendable {
  static let states: [(rowType: String, states: [String])] = [
    ("step", ["queued", "running", "expired", "succeeded", "dead", "skipped", "requeued"]),
    ("mission", ["approved", "running", "succeeded", "failed", "reopened"]),
    ("proposal", ["pending", "voting", "auto_approved", "approved", "rejected", "refused"]),
    ("reaction", ["queued", "processing", "done", "failed"]),
    ("loop", ["running", "halted"]),
    ("executor", ["running", "paused"]),
  ]
  private static let work = [
    "claim", "recover", "succeed", "fail", "radar", "renew", "retry", "bulk",
  ]
  static let commands: [String: [String]] = [
    "step": work, "mission": work, "executor": work, "loop": work + ["heartbeat"],
    "proposal": ["submit", "approve", "reject", "vote", "heartbeat"],
    "reaction": ["heartbeat"],
  ]

  static func unreachable(_ rowType: String, _ state: String, _ command: String) -> String? {
    switch (rowType, state, command) {
    case ("mission", "approved", "succeed"), ("mission", "approved", "fail"),
      ("mission", "approved", "radar"), ("mission", "approved", "renew"):
      "a worker holds a step of it only by a claim, which starts the mission"
    case ("proposal", "refused", "submit"): "a refused proposal gives up its dedupe key"
    case ("reaction", "processing", _): "only the origin's clients make it so"
    default: nil
    }
  }

  private let counts = Mutex<[String: Int]>([:])

  func count(_ rowType: String, _ state: String, _ command: String) {
    counts.withLock { $0["\(rowType) \(state) \(command)", default: 0] += 1 }
  }

  /// Prints the table.
  ///
  /// - Returns: Reachable pairs that never occurred.
  func report() -> [String] {
    let counts = counts.withLock { $0 }
    var missing: [String] = []
    var reasons: [String] = []
    for (rowType, states) in Self.states {
      let commands = Self.commands[rowType] ?? []
      print("\n" + pad(rowType, 14) + commands.map { pad($0, 11) }.joined())
      for state in states {
        var line = pad("  " + state, 14)
        for command in commands {
          let count = counts["\(rowType) \(state) \(command)"] ?? 0
          let reason = Self.unreachable(rowType, state, command)
          line += pad(reason == nil ? "\(count)" : count == 0 ? "-" : "\(count)!", 11)
          if let reason {
            reasons.append("\(rowType) \(state), \(command): \(reason)")
            if count > 0 { missing.append("\(rowType) \(state) \(command) occurred: \(reason)") }
          } else if count == 0 {
            missing.append("\(rowType) \(state) \(command) never occurred")
          }
        }
        print(line)
      }
    }
    print("\nunreachable (-):")
    for reason in reasons { print("  " + reason) }
    return missing
  }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
}

/// Which states there are rows in, or which a row is in.
struct States {
  static let ofStep = """
    CASE WHEN s.status = 'queued' AND m.status = 'failed' THEN 'requeued'
      WHEN s.status = 'failed' THEN CASE WHEN s.failure_count > 0 THEN 'dead' ELSE 'skipped' END
      WHEN s.status = 'running' AND s.lease_expires_at < ledger.now() THEN 'expired'
      ELSE s.status::text END
    """
  private static let ofMission = """
    CASE WHEN m.status = 'running' AND EXISTS (SELECT FROM ledger.events AS e
      WHERE e.stream = m.id AND e.type = 'mission.reopened') THEN 'reopened'
      ELSE m.status::text END
    """
  private static let ofLoop = "(SELECT value->>'state' FROM public.ops_policy WHERE key = 'loop')"
  private static func ofExecutor(_ name: String) -> String {
    """
    CASE WHEN (SELECT value->'blocked_executors' FROM public.ops_policy WHERE key = 'worker_policy')
      ? \(name) THEN 'paused' ELSE 'running' END
    """
  }
  private static let steps =
    "ops_mission_steps AS s JOIN public.ops_missions AS m ON m.id = s.mission_id"
  static let ofProposal = """
    CASE WHEN policy_snapshot ? 'gate_refused' THEN 'refused' ELSE status::text END
    """

  static let all = Statement(
    """
    SELECT DISTINCT 'step', \(ofStep) FROM \(steps)
    UNION ALL SELECT DISTINCT 'mission', \(ofMission) FROM public.ops_missions AS m
    UNION ALL SELECT DISTINCT 'reaction', status FROM public.ops_agent_reactions
    UNION ALL SELECT DISTINCT 'proposal', \(ofProposal) FROM public.ops_mission_proposals
    UNION ALL SELECT 'loop', \(ofLoop)
    UNION ALL SELECT DISTINCT 'executor', \(ofExecutor("x")) FROM unnest('{noop,radar}'::text[]) AS x
    """)
  static let step = Statement(
    """
    SELECT \(ofStep), \(ofMission), \(ofLoop), \(ofExecutor("s.kind")) FROM \(steps)
    WHERE s.id = $1::uuid
    """)
  static let anySteps = Statement(
    "SELECT id FROM public.ops_mission_steps ORDER BY updated_at DESC, id LIMIT 20")
  static let deadSteps = Statement(
    """
    SELECT id FROM public.ops_mission_steps WHERE status = 'failed' AND failure_count > 0
    ORDER BY updated_at DESC, id LIMIT 4
    """)
  static let requeued = Statement(
    """
    SELECT s.id FROM \(steps) WHERE s.status = 'queued' AND m.status = 'failed'
    ORDER BY s.updated_at DESC, s.ordinal LIMIT 3
    """)
  static let skipped = Statement(
    """
    SELECT s.id FROM public.ops_mission_steps AS s WHERE s.status = 'failed' AND s.failure_count = 0
      AND EXISTS (SELECT FROM public.ops_action_runs AS r WHERE r.step_id = s.id)
    ORDER BY s.updated_at DESC, s.ordinal LIMIT 3
    """)
  static let proposal = Statement(
    "SELECT \(ofProposal) FROM public.ops_mission_proposals WHERE id = $1::uuid")
  static let voting = Statement(
    "SELECT id FROM public.ops_mission_proposals WHERE id = ANY ($1::uuid[]) AND status = 'voting'")
  static let holder = Statement(
    "SELECT \(ofProposal) FROM public.ops_mission_proposals WHERE dedupe_key = $1::text")
}
