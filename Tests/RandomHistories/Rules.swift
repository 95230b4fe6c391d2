import Ledger
import Log

/// What must hold. Each query finds what breaks its rule; `history` is a copy of the log.
enum Rules {
  /// Of the tables, whenever nobody is at work.
  static let atRest = [
    (
      "a proposal has one mission",
      """
      SELECT proposal_id::text FROM public.ops_missions GROUP BY proposal_id HAVING count(*) > 1
      """
    ),
    (
      "a proposal has a mission where it is approved, and only then",
      """
      SELECT p.id::text FROM public.ops_mission_proposals AS p LEFT JOIN public.ops_missions AS m
        ON m.proposal_id = p.id
      WHERE (p.status IN ('approved', 'auto_approved')) <> (m.id IS NOT NULL)
      """
    ),
    (
      "a mission has succeeded where all its steps have, and only then",
      """
      SELECT id::text FROM (\(missions)) AS m WHERE done <> (status = 'succeeded')
      """
    ),
    (
      "a mission that is approved or running has a step that is queued or running",
      """
      SELECT id::text FROM (\(missions)) AS m
      WHERE status IN ('approved', 'running') AND NOT open
      """
    ),
    (
      "a mission with a dead step has failed, unless it was reopened",
      """
      SELECT id::text FROM (\(missions)) AS m WHERE dead AND status <> 'failed'
        AND (SELECT e.type FROM history AS e WHERE e.stream = m.id
          ORDER BY e.version DESC LIMIT 1) <> 'mission.reopened'
      """
    ),
    (
      "a mission that has failed has a dead step, or one that is to be tried again",
      """
      SELECT id::text FROM (\(missions)) AS m WHERE status = 'failed' AND NOT dead AND NOT queued
      """
    ),
    (
      "a mission that has failed has queued steps only where some were queued again since",
      """
      SELECT id::text FROM (\(missions)) AS m WHERE status = 'failed' AND queued
        AND NOT EXISTS (SELECT FROM public.ops_mission_steps AS s JOIN history AS r
          ON r.stream = s.id AND r.type = 'step.requeued' WHERE s.mission_id = m.id
          AND r.entry > (SELECT max(f.entry) FROM history AS f WHERE f.stream = m.id
            AND f.type = 'mission.failed'))
      """
    ),
    (
      "a step is skipped where another one of its mission is dead, and only there",
      """
      SELECT id::text FROM (\(missions)) AS m WHERE skipped AND NOT dead
      """
    ),
    (
      "a run is under way where its step is, and only there",
      """
      SELECT s.id::text FROM public.ops_mission_steps AS s LEFT JOIN public.ops_action_runs AS r
        ON r.step_id = s.id AND r.status = 'started'
      GROUP BY s.id HAVING count(r.id) <> CASE s.status WHEN 'running' THEN 1 ELSE 0 END
      """
    ),
  ]

  private static let missions = """
    SELECT m.id, m.status, bool_and(s.status = 'succeeded') AS done,
      bool_or(s.status IN ('queued', 'running')) AS open, bool_or(s.status = 'queued') AS queued,
      bool_or(s.status = 'failed' AND s.failure_count > 0) AS dead,
      bool_or(s.status = 'failed' AND s.failure_count = 0) AS skipped
    FROM public.ops_missions AS m JOIN public.ops_mission_steps AS s ON s.mission_id = m.id GROUP BY m.id
    """
}

extension Rules {
  /// Of the log, where all played in turn: what an entry was decided under was in force when it was
  /// allocated.
  static let inTurn = [
    (
      "nothing is taken while the loop is halted",
      """
      SELECT e.type || ' at ' || e.entry FROM history AS e
      WHERE e.type IN ('step.leased', 'agent_event.processed', 'reaction.queued',
          'reaction.done', 'reaction.failed')
        AND \(policy("loop", before: "e.entry"))->>'state' <> 'running'
      """
    ),
    (
      "no step of an executor is leased while it is paused",
      """
      SELECT e.stream::text FROM history AS e JOIN public.ops_mission_steps AS s ON s.id = e.stream
      WHERE e.type = 'step.leased'
        AND (\(policy("worker_policy", before: "e.entry"))->'blocked_executors')::jsonb
          ? coalesce(s.executor, s.kind)
      """
    ),
    (
      "no chain of reactions is longer than the matrix allows",
      """
      SELECT e.stream::text FROM history AS e WHERE e.type = 'reaction.queued'
        AND (e.data->>'causation_depth')::int > coalesce(
          (\(policy("reaction_matrix", before: "e.entry"))->>'max_causation_depth')::int, 16)
      """
    ),
  ]

  /// The value that a policy had when an entry was made.
  private static func policy(_ key: String, before entry: String) -> String {
    """
    (SELECT v.data->'value' FROM history AS v WHERE v.type = 'policy.set'
      AND v.stream = '\(StreamID.policy(key))' AND v.entry < \(entry)
      ORDER BY v.version DESC LIMIT 1)
    """
  }
}
