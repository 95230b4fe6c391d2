-- ledger.fail_attempt: records a failed attempt of a running step whose lease has ended. It queues the step again, or,
-- after the last attempt, makes it a dead letter.
--
-- Takes    `began`: the time at which recover_steps began. Steps that died earlier are named first, as in the engine.
-- Returns  whether the step is queued again.
-- Locks    the step's run. The caller has locked the step and its mission.
-- Used by  recover_steps.
CREATE OR REPLACE FUNCTION ledger.fail_attempt(step_id uuid, began timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lost CONSTANT text := 'Lease expired';
    step public.ops_mission_steps;
    attempts_max integer;
    is_dead boolean;
    dead_ordinal integer;
BEGIN
    SELECT s.* INTO step FROM public.ops_mission_steps AS s WHERE s.id = step_id;
    attempts_max := coalesce(step.max_retries, (ledger.worker_rules()).attempts_max);
    is_dead := step.failure_count + 1 >= attempts_max;
    UPDATE public.ops_mission_steps AS s
    SET status = CASE WHEN is_dead THEN 'failed'::public.ops_step_status ELSE 'queued' END,
        failure_count = s.failure_count + 1, last_error = lost,
        not_before = CASE WHEN is_dead THEN s.not_before END,
        lease_expires_at = NULL, leased_by = NULL, updated_at = greatest(s.updated_at, began)
    WHERE s.id = step_id;

    UPDATE public.ops_action_runs AS r
    SET status = 'failed', completed_at = ledger.now(), error = lost,
        meta = CASE jsonb_typeof(r.meta) WHEN 'object' THEN r.meta ELSE '{}' END
            || jsonb_build_object('class', 'lease_expired', 'retrying', NOT is_dead)
    WHERE r.id = (
        SELECT l.id FROM public.ops_action_runs AS l
        WHERE l.step_id = fail_attempt.step_id AND l.status = 'started'
        ORDER BY l.started_at DESC, l.id DESC LIMIT 1);

    IF is_dead THEN
        PERFORM ledger.report_outcome(format('step:%s:failed', step.kind),
            jsonb_build_object('kind', step.kind, 'error', lost, 'step_id', step_id),
            format('%s:failed:%s', step_id, step.version), step.mission_id);
        PERFORM ledger.fail_mission(step.mission_id, step.ordinal, lost,
            greatest(step.updated_at, began));
        RETURN false;
    END IF;

    -- In a mission that has failed meanwhile, the step is skipped.
    SELECT coalesce(d.ordinal, 0) INTO dead_ordinal
    FROM public.ops_mission_steps AS d JOIN public.ops_missions AS m ON m.id = d.mission_id
    WHERE m.id = step.mission_id AND m.status = 'failed' AND d.status = 'failed'
        AND d.failure_count > 0
    ORDER BY d.updated_at >= began, d.ordinal, d.id LIMIT 1;
    IF dead_ordinal IS NULL THEN
        RETURN true;
    END IF;
    UPDATE public.ops_mission_steps AS s
    SET status = 'failed', failure_count = 0,
        last_error = format('skipped: step %s failed', dead_ordinal)
    WHERE s.id = step_id;
    RETURN false;
END
$$;
