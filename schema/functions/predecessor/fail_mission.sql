-- ledger.fail_mission: after a step became a dead letter, skips the queued steps of its mission, and fails the mission
-- if it is open. Steps that were queued again after `died` stay queued.
--
-- Locks    the mission's queued steps, in the order of their ids. The caller has locked the mission.
-- Used by  fail_attempt, ops_maybe_finalize_mission.
CREATE OR REPLACE FUNCTION ledger.fail_mission(
    mission uuid, failed_ordinal integer, error text, died timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    instant CONSTANT timestamptz := ledger.now();
    failed record;
BEGIN
    PERFORM FROM public.ops_mission_steps AS s
    WHERE s.mission_id = mission AND s.status = 'queued' AND s.updated_at <= died
    ORDER BY s.id FOR NO KEY UPDATE;
    UPDATE public.ops_mission_steps AS s
    SET status = 'failed', failure_count = 0,
        last_error = format('skipped: step %s failed', coalesce(failed_ordinal, 0)),
        updated_at = greatest(s.updated_at, instant)
    WHERE s.mission_id = mission AND s.status = 'queued' AND s.updated_at <= died;

    UPDATE public.ops_missions AS m
    SET status = 'failed', completed_at = instant, updated_at = greatest(m.updated_at, instant)
    WHERE m.id = mission AND m.status IN ('approved', 'running')
    RETURNING m.version, m.proposal_id INTO failed;
    IF FOUND THEN
        PERFORM ledger.report_outcome('mission:failed',
            jsonb_build_object('mission_id', mission, 'proposal_id', failed.proposal_id,
                'error', error),
            format('%s:failed:%s', mission, failed.version), mission);
    END IF;
END
$$;
