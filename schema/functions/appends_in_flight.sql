-- ledger.appends_in_flight: the lower bounds of entry numbers that are drawn or about to be.
--
-- Returns  one row per open append: its bound b and its backend (null: a prepared transaction). The
--          number it draws is greater than b.
-- Locks    none: reads pg_locks and blocks nobody.
-- Used by  seal; status, to name who holds a seal back. Read the sequence first (L), then this, each in
--          a statement of its own; safe = least(L, smallest b). In the other order an append in
--          between is missed.
CREATE OR REPLACE FUNCTION ledger.appends_in_flight() RETURNS TABLE (bound bigint, pid integer)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (l.classid::bigint & 65535) << 32 | l.objid::bigint, l.pid
    FROM pg_locks AS l
    WHERE l.locktype = 'advisory'
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND l.objsubid = 1 AND l.classid::bigint >> 16 = 19796  -- key: 19796 << 48 | b
      AND l.granted
$$;
ALTER FUNCTION ledger.appends_in_flight() OWNER TO opsledger_owner;
