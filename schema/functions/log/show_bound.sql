-- ledger.show_bound: shows a lower bound of the next number if another session blocks the advisory key of
-- allocate_entry().
--
-- Every login may take any advisory lock, but only a limited number of them. So this key has 16 random bits, and the
-- bound without its last 16 bits: 19797 << 48 | random << 32 | b >> 16. A lower bound is also right; the seal only
-- waits longer for this append.
--
-- Locks    one of these keys, shared, to the end of the transaction. It waits for nobody.
CREATE OR REPLACE FUNCTION ledger.show_bound(bound bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tag CONSTANT bigint := 19797::bigint << 48;
BEGIN
    FOR attempt IN 1..64 LOOP
        IF pg_try_advisory_xact_lock_shared(
            tag | (floor(random() * 65536)::bigint << 32) | (bound >> 16)) THEN
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'OPS_012: cannot allocate an entry number: other sessions have the advisory locks for it'
        USING ERRCODE = 'lock_not_available',
            HINT = 'They are: SELECT pid, count(*) FROM pg_locks WHERE locktype = ''advisory'' GROUP BY 1';
END
$$;
