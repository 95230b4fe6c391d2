extension Rules {
  /// Of the log, whatever happened.
  static let always = ofTheLog + ofRounds + ofReactions

  private static let ofTheLog = [
    (
      "versions of a stream are contiguous",
      """
      SELECT stream::text FROM history GROUP BY stream
      HAVING max(version) <> count(*) OR min(version) <> 1
      """
    ),
    (
      "within a stream, entries come in the order of versions",
      """
      SELECT stream::text FROM (SELECT stream, entry, index, lag((entry, index)) OVER (
        PARTITION BY stream ORDER BY version) AS before FROM history) AS e
      WHERE (entry, index) <= before
      """
    ),
    (
      "a lease has one outcome",
      """
      SELECT data->>'run_id' FROM history
      WHERE type IN ('step.succeeded', 'step.attempt_failed') AND data->>'run_id' IS NOT NULL
      GROUP BY data->>'run_id' HAVING count(*) > 1
      """
    ),
    (
      "an outcome follows its own lease",
      """
      SELECT o.stream::text FROM history AS o
      WHERE o.type IN ('step.succeeded', 'step.attempt_failed') AND o.data->>'run_id' IS DISTINCT FROM (
        SELECT l.data->>'run_id' FROM history AS l WHERE l.stream = o.stream
          AND l.type = 'step.leased' AND l.version < o.version ORDER BY l.version DESC LIMIT 1)
      """
    ),
    (
      "a run ends with its step's attempt, in the same entry",
      """
      SELECT r.stream::text FROM history AS r
      WHERE r.type IN ('run.succeeded', 'run.failed') AND NOT EXISTS (
        SELECT FROM history AS s WHERE s.entry = r.entry
          AND s.data->>'run_id' = r.stream::text
          AND s.type = CASE r.type WHEN 'run.succeeded' THEN 'step.succeeded'
            ELSE 'step.attempt_failed' END)
      """
    ),
    (
      "no step starts before those that it needs have succeeded",
      """
      SELECT s.id::text FROM public.ops_mission_steps AS s CROSS JOIN unnest(s.needs) AS n(ordinal)
        JOIN public.ops_mission_steps AS p ON p.mission_id = s.mission_id AND p.ordinal = n.ordinal
        JOIN history AS l ON l.stream = s.id AND l.type = 'step.leased'
      WHERE NOT EXISTS (SELECT FROM history AS d WHERE d.stream = p.id
        AND d.type = 'step.succeeded' AND d.entry < l.entry)
      """
    ),
    (
      "nothing is recorded that no command did",
      """
      SELECT type FROM history WHERE type LIKE '%.amended' OR type LIKE '%.inserted'
        OR type LIKE '%.removed' OR command IS NULL
      """
    ),
    (
      "an agent event is processed once",
      """
      SELECT stream::text FROM history WHERE type = 'agent_event.processed'
      GROUP BY stream HAVING count(*) > 1
      """
    ),
    (
      "a reaction is done or failed once",
      """
      SELECT stream::text FROM history WHERE type IN ('reaction.done', 'reaction.failed')
      GROUP BY stream HAVING count(*) > 1
      """
    ),
  ]

  /// A step is queued again, and its mission reopened, manually only; between two of these each ends once.
  private static let ofRounds = [
    (
      "a step ends once a round",
      """
      SELECT stream::text FROM (\(stepRounds)) AS e
      WHERE type IN ('step.succeeded', 'step.dead_lettered', 'step.skipped')
      GROUP BY stream, round HAVING count(*) > 1
      """
    ),
    (
      "a step that has succeeded has ended for good",
      """
      SELECT stream::text FROM history AS e WHERE type = 'step.succeeded' AND EXISTS (
        SELECT FROM history AS l WHERE l.stream = e.stream AND l.version > e.version)
      """
    ),
    (
      "failed attempts are counted from 1 in each round",
      """
      SELECT stream::text FROM (SELECT stream, (data->>'failure_count')::bigint AS told,
        row_number() OVER (PARTITION BY stream, round ORDER BY version) AS there
        FROM (\(stepRounds)) AS e WHERE type = 'step.attempt_failed') AS e WHERE told <> there
      """
    ),
    (
      "a step is dead at its last attempt, and tried again before that",
      """
      SELECT e.stream::text FROM history AS e JOIN history AS f
        ON f.stream = e.stream AND f.version = e.version - 1
        JOIN public.ops_mission_steps AS s ON s.id = e.stream
      WHERE e.type IN ('step.dead_lettered', 'step.retry_scheduled')
        AND (f.entry <> e.entry OR f.type <> 'step.attempt_failed'
          OR ((f.data->>'failure_count')::int
            >= coalesce(s.max_retries, (e.data->>'max_retries')::int, 1000))
            <> (e.type = 'step.dead_lettered'))
      """
    ),
    (
      "an attempt that failed has a consequence in its entry",
      """
      SELECT e.stream::text FROM history AS e LEFT JOIN history AS f
        ON f.stream = e.stream AND f.version = e.version + 1 AND f.entry = e.entry
      WHERE e.type = 'step.attempt_failed'
        AND coalesce(f.type, '') NOT IN ('step.dead_lettered', 'step.retry_scheduled')
      """
    ),
    (
      "a mission ends once a round",
      """
      SELECT stream::text FROM (SELECT *, count(*) FILTER (WHERE type = 'mission.reopened')
        OVER (PARTITION BY stream ORDER BY version) AS round
        FROM history WHERE type LIKE 'mission.%') AS e
      WHERE type IN ('mission.succeeded', 'mission.failed')
      GROUP BY stream, round HAVING count(*) > 1
      """
    ),
    (
      "a mission is over from the entry on in which the last of its steps is",
      """
      SELECT mission_id::text FROM (SELECT mission_id, entry,
          sum(sum(more)) OVER (PARTITION BY mission_id ORDER BY entry) AS open FROM (
            SELECT s.mission_id, e.entry, CASE WHEN e.type IN ('step.created', 'step.requeued')
              THEN 1 WHEN e.type IN ('step.succeeded', 'step.dead_lettered', 'step.skipped')
              THEN -1 ELSE 0 END AS more
            FROM history AS e JOIN public.ops_mission_steps AS s ON s.id = e.stream) AS e
          GROUP BY mission_id, entry) AS e
      WHERE open = 0 AND \(missionAt("e.mission_id", "e.entry"))
        NOT IN ('mission.succeeded', 'mission.failed')
      """
    ),
    (
      "a mission has failed from the entry on in which a step of it is dead",
      """
      SELECT e.stream::text FROM history AS e JOIN public.ops_mission_steps AS s ON s.id = e.stream
      WHERE e.type = 'step.dead_lettered'
        AND \(missionAt("s.mission_id", "e.entry")) <> 'mission.failed'
      """
    ),
    (
      "a mission is reopened where it has failed, by the claim of a step",
      """
      SELECT e.stream::text FROM history AS e WHERE e.type = 'mission.reopened'
        AND ((SELECT f.type FROM history AS f WHERE f.stream = e.stream
          AND f.version = e.version - 1) <> 'mission.failed'
        OR NOT EXISTS (SELECT FROM history AS l WHERE l.entry = e.entry
          AND l.type = 'step.leased' AND l.stream = (e.data->>'step_id')::uuid))
      """
    ),
    (
      "the end of a mission, and of a step, is reported once",
      """
      SELECT e.stream::text FROM history AS e WHERE e.type IN ('step.succeeded',
        'step.dead_lettered', 'mission.succeeded', 'mission.failed')
        AND (SELECT count(*) FROM history AS a WHERE a.entry = e.entry
          AND a.type = 'agent_event.reported'
          AND a.data->>'dedupe_key' LIKE e.stream::text || ':%') <> 1
      """
    ),
  ]

  /// The last that had happened to a mission when an entry was made.
  private static func missionAt(_ mission: String, _ entry: String) -> String {
    """
    (SELECT m.type FROM history AS m WHERE m.stream = \(mission) AND m.entry <= \(entry)
      ORDER BY m.version DESC LIMIT 1)
    """
  }

  private static let stepRounds = """
    SELECT *, count(*) FILTER (WHERE type = 'step.requeued')
      OVER (PARTITION BY stream ORDER BY version) AS round
    FROM history WHERE type LIKE 'step.%'
    """

  private static let ofReactions = [
    (
      "a pattern that matched has its reaction, in the same entry",
      """
      SELECT e.stream::text FROM history AS e, json_array_elements(e.data->'patterns') AS p
      WHERE e.type = 'agent_event.processed' AND (p->>'matched')::boolean AND NOT EXISTS (
        SELECT FROM history AS r WHERE r.entry = e.entry AND r.type = 'reaction.queued'
          AND r.stream = (p->>'reaction_id')::uuid)
      """
    ),
    (
      "chance decided by the draw that is recorded",
      """
      SELECT e.stream::text FROM history AS e, json_array_elements(e.data->'patterns') AS p
        JOIN (VALUES ('rare', 0.1), ('chain', 0.5)) AS v(pattern, probability)
          ON v.pattern = p->>'pattern'
      WHERE e.type = 'agent_event.processed'
        AND ((p->>'matched')::boolean OR p->>'reason' = 'probability')
        AND ((p->>'draw')::float8 < probability) IS DISTINCT FROM (p->>'matched')::boolean
      """
    ),
    (
      "a rollback gives the policy the value of the version that it names",
      """
      SELECT e.stream::text FROM history AS e WHERE e.type = 'policy.set'
        AND e.data->>'rollback_to' IS NOT NULL AND (e.data->'value')::jsonb IS DISTINCT FROM (
          SELECT (v.data->'value')::jsonb FROM history AS v WHERE v.stream = e.stream
            AND v.version = (e.data->>'rollback_to')::int)
      """
    ),
  ]
}
