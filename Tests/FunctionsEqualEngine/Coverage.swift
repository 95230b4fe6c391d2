import Synchronization

/// How often each transition was made, as the engine's log tells it.
final class Coverage: Sendable {
  /// A row a transition: what it was, and how many there were in one history.
  static let transitions = """
    WITH e AS (
      SELECT e.stream, e.version, e.entry, split_part(e.type, '.', 1) AS row_type, e.type, e.data,
        lead(e.entry) OVER w AS next_entry, lag(e.data) OVER w AS before
      FROM ledger.events AS e
      WHERE e.entry > (SELECT entry FROM public.first_entry) AND e.stream IN (
        SELECT id FROM public.ops_mission_proposals UNION ALL SELECT id FROM public.ops_missions
        UNION ALL SELECT id FROM public.ops_mission_steps UNION ALL SELECT id FROM public.ops_action_runs)
      WINDOW w AS (PARTITION BY e.stream ORDER BY e.version)
    ), s AS (
      SELECT e.*, CASE
        WHEN type = 'proposal.submitted' THEN
          CASE WHEN next_entry = entry THEN NULL ELSE 'pending' END
        ELSE (SELECT s.state FROM (VALUES
          ('proposal.gate_refused', 'rejected by the gate'), ('proposal.auto_approved', 'auto_approved'),
          ('proposal.vote_called', 'voting'), ('proposal.vote_cast', 'voting'),
          ('proposal.vote_expired', 'pending'), ('proposal.approved', 'approved'),
          ('proposal.rejected', 'rejected'), ('mission.created', 'approved'),
          ('mission.started', 'running'), ('mission.succeeded', 'succeeded'),
          ('mission.failed', 'failed'), ('mission.reopened', 'running'), ('step.created', 'queued'),
          ('step.leased', 'running'), ('step.renewed', 'running'), ('step.succeeded', 'succeeded'),
          ('step.retry_scheduled', 'queued'), ('step.dead_lettered', 'dead'),
          ('step.skipped', 'skipped'), ('step.requeued', 'queued'), ('run.started', 'started'),
          ('run.succeeded', 'succeeded'), ('run.failed', 'failed')
        ) AS s (type, state) WHERE s.type = e.type) END AS state
      FROM e
    )
    SELECT t.name, count(*)::text FROM (
      SELECT row_type || ': ' || coalesce(lag(state) OVER w, 'new') || ' to ' || state || CASE type
        WHEN 'step.retry_scheduled' THEN ' (' || (before->>'class') || ')'
        WHEN 'step.dead_lettered' THEN ' (' || (before->>'class') || ')'
        ELSE '' END AS name
      FROM s WHERE state IS NOT NULL WINDOW w AS (PARTITION BY stream ORDER BY version)
    ) AS t GROUP BY 1
    """

  static let wanted = [
    "proposal: new to auto_approved", "proposal: new to pending", "proposal: new to voting",
    "proposal: new to rejected by the gate", "proposal: voting to voting",
    "proposal: voting to approved", "proposal: voting to rejected", "proposal: voting to pending",
    "proposal: pending to approved", "proposal: pending to rejected",
    "mission: new to approved", "mission: approved to running", "mission: running to succeeded",
    "mission: running to failed", "mission: failed to running",
    "step: new to queued", "step: queued to running", "step: running to running",
    "step: running to succeeded", "step: running to queued (exit)",
    "step: running to queued (lease_expired)", "step: running to dead (exit)",
    "step: running to dead (lease_expired)", "step: queued to skipped", "step: dead to queued",
    "step: skipped to queued",
    "run: new to started", "run: started to succeeded", "run: started to failed",
  ]

  private let counts = Mutex<[String: Int]>([:])

  func add(_ rows: [[String?]]) {
    counts.withLock { counts in
      for row in rows { counts[row[0] ?? "", default: 0] += Int(row[1] ?? "") ?? 0 }
    }
  }

  /// Prints the table.
  ///
  /// - Returns: Transitions that were made less often than `least`.
  func report(least: Int) -> [String] {
    let counts = counts.withLock { $0 }
    for name in Self.wanted + counts.keys.filter({ !Self.wanted.contains($0) }).sorted() {
      print(
        "  " + name + String(repeating: " ", count: max(1, 46 - name.count))
          + "\(counts[name] ?? 0)")
    }
    return Self.wanted.filter { (counts[$0] ?? 0) < least }
  }
}
