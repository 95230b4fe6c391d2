-- ledger.draw: an entry's number and time. Call it once a transaction, after its last row lock.
--
-- Returns  one row: the entry's number and the clock, read after the draw.
-- Locks    shared, to the end of the transaction: advisory key 19796 << 48 | b, where b is what the
--          sequence stood at. Nobody waits for it; seal looks at it. the order of the statements
--          is the promise: b is read before the lock, the lock taken before the number is drawn, so
--          that whatever this transaction appends is greater than the b it shows.
-- Refuses  in a transaction whose hands' changes are staged (capture): what it appended would get a smaller
--          number than they, though it came after them.
--          Where the database is not the one that was settled (ledger.require_home), OPS_015.
-- Sets     opsledger.entry, to the end of the transaction: where capture looks for its events first.
-- Used by  every append. Assignments that never start the executor, where queries took
--          twice as long. SET search_path would add 2 us, so each name has its schema instead.
CREATE OR REPLACE FUNCTION ledger.draw(OUT entry bigint, OUT recorded_at timestamptz) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    shown boolean;
    place CONSTANT pg_catalog.text := pg_catalog.current_setting('opsledger.place', true);
BEGIN
    IF pg_catalog.current_setting('opsledger.hand', true) OPERATOR(pg_catalog.=) 'staged' THEN
        RAISE EXCEPTION 'this transaction has changed rows by hand: nothing else is recorded in it'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Commit first; a command has a transaction of its own.';
    END IF;
    entry := pg_catalog.pg_sequence_last_value('ledger.entry_sequence');
    -- 19796 << 48 | b
    shown := pg_catalog.pg_advisory_xact_lock_shared(
        5572078638964146176 OPERATOR(pg_catalog.|) entry) IS NOT NULL;
    entry := pg_catalog.nextval('ledger.entry_sequence');
    -- As require_home asks, which is called where it must do more: a PERFORM costs as much as all of this.
    IF (place OPERATOR(pg_catalog.<>) '' AND pg_catalog.hashtextextended(place OPERATOR(pg_catalog.||) '/'
            OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8), 0)
        OPERATOR(pg_catalog.=) pg_catalog.pg_sequence_last_value('ledger.home_sequence'))
        IS NOT TRUE
    THEN
        PERFORM ledger.require_home();
    END IF;
    shown := pg_catalog.set_config('opsledger.entry', entry::pg_catalog.text, true) IS NOT NULL;
    recorded_at := ledger.now();
END
$$;
ALTER FUNCTION ledger.draw() OWNER TO opsledger_owner;
