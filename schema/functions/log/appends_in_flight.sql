-- ledger.appends_in_flight: the lower bounds of entry numbers that are drawn or about to be.
--
-- Returns  one row per open append: its bound b and its backend (null: a prepared transaction). The
--          number it draws is greater than b.
-- Locks    none: reads pg_locks and blocks nobody.
-- Ignores  advisory locks of whoever does not use ledger.entry_sequence, since anybody may take any: draw reads the
--          sequence before it shows b, and has its lock until its transaction ends.
-- Used by  seal; status, to name who holds a seal back. Read the sequence first (L), then this, each in
--          a statement of its own; safe = least(L, smallest b). In the other order an append in
--          between is missed.
CREATE OR REPLACE FUNCTION ledger.appends_in_flight() RETURNS TABLE (bound bigint, pid integer)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- One look at all locks. Whoever took both between its halves read the sequence after L was read.
    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT l.* FROM pg_locks AS l
        WHERE l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
          AND l.granted AND l.locktype IN ('advisory', 'relation'))
    SELECT CASE l.classid::bigint >> 16
            WHEN 19796 THEN (l.classid::bigint & 65535) << 32 | l.objid::bigint  -- 19796 << 48 | b
            ELSE l.objid::bigint << 16 END,                                      -- see ledger.show_bound
        l.pid
    FROM held AS l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint >> 16 IN (19796, 19797)
      AND EXISTS (SELECT FROM held AS s
        WHERE s.locktype = 'relation' AND s.relation = 'ledger.entry_sequence'::regclass
          AND s.virtualtransaction = l.virtualtransaction);
END
$$;
ALTER FUNCTION ledger.appends_in_flight() OWNER TO opsledger_owner;
