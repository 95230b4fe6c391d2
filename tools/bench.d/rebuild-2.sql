-- The set-based rebuild that ours is compared with, second connection: the other tables.
BEGIN;
INSERT INTO ops_policy (key, value, version, updated_at)
SELECT DISTINCT ON (stream) data ->> 'key', coalesce(data -> 'value', content -> 'value')::jsonb, version, recorded_at
FROM ledger.events WHERE type = 'policy.set' ORDER BY stream, version DESC;

INSERT INTO ops_mission_proposals
    (id, dedupe_key, source, status, template, policy_snapshot, approved_at, created_at, version)
SELECT s.stream, s.data ->> 'dedupe_key', s.data ->> 'source',
    CASE WHEN a.stream IS NULL THEN 'pending' ELSE 'auto_approved' END::ops_proposal_status,
    (s.content -> 'template')::jsonb, (s.data -> 'policy_snapshot')::jsonb, a.recorded_at,
    s.recorded_at, coalesce(a.version, s.version)
FROM ledger.events AS s
LEFT JOIN ledger.events AS a ON a.stream = s.stream AND a.type = 'proposal.auto_approved'
WHERE s.type = 'proposal.submitted';

INSERT INTO ops_missions
    (id, proposal_id, status, policy_snapshot, started_at, completed_at, created_at, updated_at, version)
SELECT c.stream, (c.data ->> 'proposal_id')::uuid,
    CASE WHEN f.stream IS NOT NULL THEN 'succeeded' WHEN s.stream IS NOT NULL THEN 'running'
        ELSE 'approved' END::ops_mission_status,
    (c.data -> 'policy_snapshot')::jsonb, s.recorded_at, f.recorded_at, c.recorded_at,
    coalesce(f.recorded_at, s.recorded_at, c.recorded_at), coalesce(f.version, s.version, c.version)
FROM ledger.events AS c
LEFT JOIN ledger.events AS s ON s.stream = c.stream AND s.type = 'mission.started'
LEFT JOIN ledger.events AS f ON f.stream = c.stream AND f.type = 'mission.succeeded'
WHERE c.type = 'mission.created';

INSERT INTO ops_mission_steps
    (id, mission_id, kind, params, status, executor, reserved_at, lease_expires_at, failure_count,
        max_retries, result, created_at, updated_at, version, ordinal, needs, leased_by)
SELECT c.stream, (c.data ->> 'mission_id')::uuid, c.data ->> 'kind', (c.content -> 'params')::jsonb,
    CASE WHEN s.stream IS NOT NULL THEN 'succeeded' WHEN l.stream IS NOT NULL THEN 'running'
        ELSE 'queued' END::ops_step_status,
    c.data ->> 'executor', l.recorded_at, (l.data ->> 'lease_expires_at')::timestamptz, 0,
    (c.data ->> 'max_retries')::integer, (s.content -> 'result')::jsonb, c.recorded_at,
    coalesce(s.recorded_at, l.recorded_at, c.recorded_at), coalesce(s.version, l.version, c.version),
    (c.data ->> 'ordinal')::integer,
    ARRAY(SELECT n::integer FROM json_array_elements_text(c.data -> 'needs') AS n), l.data ->> 'worker'
FROM ledger.events AS c
LEFT JOIN ledger.events AS l ON l.stream = c.stream AND l.type = 'step.leased'
LEFT JOIN ledger.events AS s ON s.stream = c.stream AND s.type = 'step.succeeded'
WHERE c.type = 'step.created';

INSERT INTO ops_action_runs (id, run_id, step_id, executor, status, started_at, completed_at, meta, version)
SELECT s.stream, (s.data ->> 'step_id') || '-' || (s.data ->> 'attempt'), (s.data ->> 'step_id')::uuid,
    s.data ->> 'executor',
    CASE WHEN f.stream IS NULL THEN 'started' ELSE 'succeeded' END::ops_action_run_status,
    s.recorded_at, f.recorded_at, jsonb_build_object('kind', s.data -> 'kind'),
    coalesce(f.version, s.version)
FROM ledger.events AS s
LEFT JOIN ledger.events AS f ON f.stream = s.stream AND f.type = 'run.succeeded'
WHERE s.type = 'run.started';
COMMIT;
