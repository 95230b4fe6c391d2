-- ledger.draw: the number of an entry, and its time. Call it once a transaction, after its last row lock.
--
-- Returns  one row: the entry's number and the clock, read after the draw.
-- Locks    shared, to the end of the transaction: advisory key 19796 << 48 | b, where b is what the
--          sequence stood at. Nobody waits for it; seal looks at it. The order of the four statements
--          is the promise: b is read before the lock, the lock taken before the number is drawn, so
--          that whatever this transaction appends is greater than the b it shows.
-- Used by  every append.
CREATE OR REPLACE FUNCTION ledger.draw(OUT entry bigint, OUT recorded_at timestamptz) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown boolean;
BEGIN
    -- Plain assignments, not queries: each is evaluated without starting the executor.
    entry := pg_sequence_last_value('ledger.entry_sequence');
    shown := pg_advisory_xact_lock_shared(19796::bigint << 48 | entry) IS NOT NULL;
    entry := nextval('ledger.entry_sequence');
    recorded_at := ledger.now();
END
$$;
ALTER FUNCTION ledger.draw() OWNER TO opsledger_owner;
