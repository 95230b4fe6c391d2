-- ops_recover_expired_leases: takes back steps whose lease has run out: each a failed attempt of class
-- lease_expired, tried again at once, dead after the last one.
--
-- Returns  one row: how many are queued again, and how many have failed for good (or were skipped, where
--          their mission had failed meanwhile).
-- Locks    see ledger.recover_steps.
-- Used by  the origin's heartbeat.
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
