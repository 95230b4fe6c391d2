-- ops_recover_stale_steps: takes back running steps that have no current lease, and that nobody changed for so many
-- minutes. A step with a current lease is never stale, however long ago it was claimed.
--
-- Takes    the minutes; without them, as in the runbook, 15, the default of OPS_STALE_STEP_MINUTES.
-- Returns  the number of steps. Each is a failed attempt, and is queued again while it has attempts left.
-- Locks    as ledger.recover_steps.
-- Used by  the predecessor's heartbeat; the runbook.
CREATE OR REPLACE FUNCTION public.ops_recover_stale_steps(p_threshold_minutes integer)
RETURNS TABLE (recovered_steps integer)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    PERFORM ledger.require_read_committed('ops_recover_stale_steps');
    IF p_threshold_minutes < 0 THEN
        RAISE EXCEPTION 'OPS_019: p_threshold_minutes is %, and must not be negative', p_threshold_minutes
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a number of 0 or more.';
    END IF;
    RETURN QUERY SELECT r.requeued + r.failed FROM ledger.recover_steps(
        make_interval(mins => coalesce(p_threshold_minutes, 15))) AS r;
END
$$;
ALTER FUNCTION public.ops_recover_stale_steps(integer) OWNER TO opsledger_owner;

CREATE OR REPLACE FUNCTION public.ops_recover_stale_steps()
RETURNS TABLE (recovered_steps integer)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT r.recovered_steps FROM public.ops_recover_stale_steps(NULL) AS r;
END
$$;
ALTER FUNCTION public.ops_recover_stale_steps() OWNER TO opsledger_owner;
