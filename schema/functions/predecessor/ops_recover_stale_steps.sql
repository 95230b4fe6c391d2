-- ops_recover_stale_steps: takes back running steps without a live lease that were not touched for so many
-- minutes. A lease that is renewed, or has not run out, is progress; claiming long ago is not staleness.
--
-- Returns  how many. Each is a failed attempt, tried again while it has attempts left. Without a threshold,
--          as the runbook calls it, OPS_STALE_STEP_MINUTES' default: 15.
-- Locks    see ledger.recover_steps.
-- Used by  the origin's heartbeat; the runbook.
CREATE OR REPLACE FUNCTION public.ops_recover_stale_steps(p_threshold_minutes integer)
RETURNS TABLE (recovered_steps integer)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    PERFORM ledger.require_read_committed('ops_recover_stale_steps');
    IF p_threshold_minutes < 0 THEN
        RAISE EXCEPTION 'OPS_019: % minutes are no threshold', p_threshold_minutes
            USING ERRCODE = 'invalid_parameter_value', HINT = 'a number of 0 or more';
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
