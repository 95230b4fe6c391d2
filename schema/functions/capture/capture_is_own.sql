-- ledger.capture_is_own: whether a command in this transaction has appended the event.
--
-- The entries of this transaction are above the last seal, so the query skips old partitions.
--
-- Used by  the functions that capture_tables.sql makes.
CREATE OR REPLACE FUNCTION ledger.capture_is_own(stream uuid, version integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET enable_bitmapscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    sealed CONSTANT bigint := ledger.sealed();
BEGIN
    RETURN EXISTS (
        SELECT FROM ledger.events AS e
        WHERE e.entry > sealed AND e.stream = capture_is_own.stream
          AND e.version = capture_is_own.version
          AND e.command IS NOT NULL AND e.xmin = pg_current_xact_id()::xid);
END
$$;
