-- The set-based rebuild that ours is compared with, first connection: agent events and reactions.
-- It knows the types of the bench's log only.
BEGIN;
INSERT INTO ops_agent_events
    (id, dedupe_key, type, data, mission_id, processed_at, created_at, thought, version)
SELECT r.stream, r.data ->> 'dedupe_key', r.data ->> 'type', (r.content -> 'data')::jsonb,
    (r.data ->> 'mission_id')::uuid,
    CASE WHEN (r.data ->> 'processed')::boolean THEN r.recorded_at ELSE p.recorded_at END,
    r.recorded_at, r.content ->> 'thought', coalesce(p.version, r.version)
FROM ledger.events AS r
LEFT JOIN ledger.events AS p ON p.stream = r.stream AND p.type = 'agent_event.processed'
WHERE r.type = 'agent_event.reported';

INSERT INTO ops_agent_reactions (id, event_id, status, payload, created_at, updated_at, version)
SELECT q.stream, (q.data ->> 'event_id')::uuid, CASE WHEN d.stream IS NULL THEN 'queued' ELSE 'done' END,
    jsonb_build_object('dedupe_key', q.data -> 'dedupe_key', 'event_type', q.data -> 'event_type',
        'pattern_id', q.data -> 'pattern_id', 'proposal_source', q.data -> 'proposal_source',
        'proposal_template', q.content -> 'proposal_template')
    || CASE WHEN d.stream IS NULL THEN '{}' ELSE jsonb_build_object('result', jsonb_build_object(
        'r_proposal_id', d.data -> 'proposal_id', 'r_status', d.data -> 'status',
        'r_mission_id', d.data -> 'mission_id', 'r_reason', d.content -> 'reason')) END,
    q.recorded_at, coalesce(d.recorded_at, q.recorded_at), coalesce(d.version, q.version)
FROM ledger.events AS q
LEFT JOIN ledger.events AS d ON d.stream = q.stream AND d.type = 'reaction.done'
WHERE q.type = 'reaction.queued';
COMMIT;
