-- ledger.appends_in_flight: lower bounds of the entry numbers that open transactions have allocated or will allocate.
--
-- Returns  one row for each open append: its bound b and its backend (null for a prepared transaction). The number that
--          it allocates is greater than b.
-- Ignores  advisory locks of sessions that have no lock on ledger.entry_sequence, because every login may take any
--          advisory lock. allocate_entry() reads the sequence before it shows b, and keeps that lock until its
--          transaction ends.
-- Used by  seal; status, to name the session that delays a seal. Read the sequence first (L), then this function, in
--          two statements. Then least(L, smallest b) is safe to seal. In the other order, an append in between is
--          missed.
CREATE OR REPLACE FUNCTION ledger.appends_in_flight() RETURNS TABLE (bound bigint, pid integer)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- One scan of all locks. A session that takes both locks during the scan reads the sequence after L was read.
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
