-- ops_maybe_finalize_mission: ends a mission if its steps require it.
--
-- The mission fails as soon as a step has become a dead letter since the mission began or was opened again. Its queued
-- steps are skipped then. If all dead letters are older, it fails when no step is left to run. It succeeds when every
-- step has succeeded. A mission without steps, a succeeded mission and a missing mission do not change. In a failed
-- mission, the steps that were queued when another step died are skipped too.
--
-- Locks    the mission's row, then its queued steps.
-- Used by  the predecessor's workers, after they have written a step's outcome.
CREATE OR REPLACE FUNCTION public.ops_maybe_finalize_mission(p_mission_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
DECLARE
    mission public.ops_missions;
    steps record;
    failed record;
BEGIN
    PERFORM ledger.require_read_committed('ops_maybe_finalize_mission');
    SELECT m.* INTO mission FROM public.ops_missions AS m WHERE m.id = p_mission_id
    FOR NO KEY UPDATE;
    IF NOT FOUND OR mission.status = 'succeeded' THEN
        RETURN;
    END IF;
    SELECT count(*) FILTER (WHERE s.status IN ('queued', 'running')) AS unfinished,
        count(*) FILTER (WHERE s.status = 'failed') AS failed, count(*) AS total
    INTO steps FROM public.ops_mission_steps AS s WHERE s.mission_id = p_mission_id;

    IF steps.failed > 0 THEN
        SELECT s.ordinal, s.updated_at AS died, s.updated_at >= mission.updated_at AS is_new,
            CASE WHEN s.updated_at >= mission.updated_at
                THEN coalesce(s.last_error, 'failed')
                ELSE format('step %s is dead still', coalesce(s.ordinal, 0)) END AS error
        INTO failed FROM public.ops_mission_steps AS s
        WHERE s.mission_id = p_mission_id AND s.status = 'failed'
            -- In a failed mission, skipped steps are not failures.
            AND (s.failure_count > 0 OR mission.status <> 'failed')
        ORDER BY s.updated_at >= mission.updated_at DESC, s.failure_count > 0 DESC,
            CASE WHEN s.updated_at >= mission.updated_at THEN s.updated_at END DESC,
            s.ordinal, s.id
        LIMIT 1;
        IF failed.is_new OR steps.unfinished = 0 THEN
            PERFORM ledger.fail_mission(p_mission_id, failed.ordinal, failed.error, failed.died);
        END IF;
    ELSIF steps.unfinished = 0 AND steps.total > 0 AND mission.status <> 'failed' THEN
        UPDATE public.ops_missions AS m
        SET status = 'succeeded', completed_at = ledger.now(),
            updated_at = greatest(m.updated_at, ledger.now())
        WHERE m.id = p_mission_id RETURNING m.* INTO mission;
        PERFORM ledger.report_outcome('mission:succeeded',
            jsonb_build_object('mission_id', p_mission_id, 'proposal_id', mission.proposal_id),
            format('%s:succeeded:%s', p_mission_id, mission.version), p_mission_id);
    END IF;
END
$$;
ALTER FUNCTION public.ops_maybe_finalize_mission(uuid) OWNER TO opsledger_owner;
