-- ops_step_dead_letters: the steps that are dead letters now. A step that was skipped because another died has
-- failure_count 0, and is no dead letter. Nor is a step that was queued again.
--
-- Rights   security_invoker: the caller's rights and row-level policies.
-- Used by  people and old clients.
CREATE OR REPLACE VIEW public.ops_step_dead_letters WITH (security_invoker = true) AS
SELECT s.id,
    s.id AS step_id,
    s.mission_id,
    s.kind,
    s.executor,
    s.params,
    s.last_error,
    s.result,
    s.failure_count,
    s.updated_at AS created_at  -- A dead step no longer changes.
FROM public.ops_mission_steps AS s
WHERE s.status = 'failed' AND s.failure_count > 0;
ALTER VIEW public.ops_step_dead_letters OWNER TO opsledger_tables;
