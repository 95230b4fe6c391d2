-- ledger.show_bound: shows a lower bound of the number about to be drawn where somebody keeps draw from showing it.
--
-- Any login may take any advisory lock, but not many of them. So the key has 16 random bits beside the bound without
-- its last 16: 19797 << 48 | random << 32 | b >> 16. Any bound that is low enough is as right; the seal waits for this
-- append longer than it would have to, no more.
--
-- Locks    one of those keys, shared, to the end of the transaction. It waits for nobody.
-- Used by  draw.
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
    RAISE EXCEPTION 'OPS_012: advisory locks that drawing an entry needs are taken by others'
        USING ERRCODE = 'lock_not_available',
            HINT = 'SELECT pid, count(*) FROM pg_locks WHERE locktype = ''advisory'' GROUP BY 1 says by whom.';
END
$$;
ALTER FUNCTION ledger.show_bound(bigint) OWNER TO opsledger_owner;
