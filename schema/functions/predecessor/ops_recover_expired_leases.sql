-- ops_recover_expired_leases: takes back steps whose leases have expired. Each is a failed attempt of class
-- lease_expired. The step is queued again, or becomes a dead letter after its last attempt.
--
-- Returns  one row: how many steps are queued again, and how many are dead letters, or skipped in a failed mission.
-- Locks    as ledger.recover_steps.
-- Used by  the predecessor's heartbeat.
CREATE OR REPLACE FUNCTION public.ops_recover_expired_leases()
RETURNS TABLE (requeued_steps integer, failed_steps integer)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
BEGIN
    PERFORM ledger.require_read_committed('ops_recover_expired_leases');
    RETURN QUERY SELECT r.requeued, r.failed FROM ledger.recover_steps(NULL) AS r;
END
$$;
ALTER FUNCTION public.ops_recover_expired_leases() OWNER TO opsledger_owner;
