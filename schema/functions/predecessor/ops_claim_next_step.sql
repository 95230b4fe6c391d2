-- ops_claim_next_step: leases the next ready step to the caller. The first step of a mission starts the mission, and a
-- retried step opens a failed mission again.
--
-- Returns  the step's row, or no row if no step is ready or the loop is halted. Without minutes the step has no lease,
--          and becomes stale if nobody changes it (OPS_STALE_STEP_MINUTES). If a constraint or trigger of the tables
--          refuses the lease of a step, it skips that step with a WARNING.
-- Raises   OPS_019 for minutes that are not above 0.
-- Locks    the step's row. If the mission's row changes too, it locks that row without waiting. If another session has
--          it, it releases the step, waits for the mission, and tries again.
-- Used by  the predecessor's workers, which insert the run themselves.
CREATE OR REPLACE FUNCTION public.ops_claim_next_step(p_lease_minutes integer)
RETURNS SETOF public.ops_mission_steps
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
DECLARE
    step uuid;
    mission uuid;
    mission_status public.ops_mission_status;
    instant timestamptz;
    taken public.ops_mission_steps;
    quarantined uuid[] := '{}';
BEGIN
    IF p_lease_minutes <= 0 THEN
        RAISE EXCEPTION 'OPS_019: p_lease_minutes is %, and must be above 0', p_lease_minutes
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a number above 0, or NULL for no lease.';
    ELSIF ledger.halted() THEN
        RETURN;
    END IF;
    LOOP
        BEGIN
            step := NULL;
            step := ledger.next_step(quarantined);
            IF step IS NULL THEN
                RETURN;
            END IF;
            SELECT m.id, m.status INTO mission, mission_status
            FROM public.ops_mission_steps AS s JOIN public.ops_missions AS m ON m.id = s.mission_id
            WHERE s.id = step;
            IF mission_status <> 'running' THEN
                PERFORM FROM public.ops_missions AS m WHERE m.id = mission FOR NO KEY UPDATE NOWAIT;
            END IF;
            instant := ledger.now();
            UPDATE public.ops_missions AS m
            SET status = 'running', completed_at = NULL, updated_at = greatest(m.updated_at, instant),
                started_at = CASE m.status WHEN 'approved' THEN instant ELSE m.started_at END
            WHERE m.id = mission AND m.status IN ('approved', 'failed');
            UPDATE public.ops_mission_steps AS s
            SET status = 'running', reserved_at = instant, not_before = NULL,
                lease_expires_at = instant + make_interval(mins => p_lease_minutes),
                leased_by = 'psql/' || session_user, updated_at = greatest(s.updated_at, instant)
            WHERE s.id = step
            RETURNING s.* INTO taken;
            EXIT;
        EXCEPTION
            WHEN lock_not_available THEN
                PERFORM FROM public.ops_missions AS m WHERE m.id = mission FOR NO KEY UPDATE;
            WHEN OTHERS THEN
                IF step IS NULL OR NOT ledger.is_of_a_row(SQLSTATE, SQLERRM) THEN
                    RAISE;
                END IF;
                RAISE WARNING 'step % is skipped, because the database refuses to lease it: %', step, SQLERRM;
                quarantined := quarantined || step;
        END;
    END LOOP;
    RETURN NEXT taken;
END
$$;
ALTER FUNCTION public.ops_claim_next_step(integer) OWNER TO opsledger_owner;
