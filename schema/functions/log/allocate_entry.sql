-- ledger.allocate_entry: an entry's number and time. Call it once a transaction, after its last row lock.
--
-- Returns  one row: the entry's number and the clock, read after the draw.
-- Locks    shared, to the end of the transaction: advisory key 19796 << 48 | b, where b is what the
--          sequence stood at. Nobody waits for it; seal looks at it. The order of the statements
--          is the promise: b is read before the lock, the lock taken before the number is drawn, so
--          that whatever this transaction appends is greater than the b it shows. Reading b locks the
--          sequence, by which seal knows a draw's lock from those that anybody may take. Where somebody
--          has the key for himself, another is taken (ledger.show_bound): it never waits.
-- Refuses  in a transaction whose hands' changes are staged (capture): what it appended would get a smaller
--          number than they, though it came after them.
--          Where the sequence was set back below the seal (ledger.refuse_number): a number that is sealed
--          would never be pushed. Where numbers have ended. Where the database is not the one that was
--          settled (ledger.require_instance), OPS_015.
-- Sets     opsledger.entry, to the end of the transaction: where capture looks for its events first.
-- Used by  every append. Few and short expressions, since each transaction makes them ready anew, and one query, of
--          3 us: a sequence that kept the seal would be set back with the other. SET search_path would add 2 us, so
--          each name has its schema instead.
CREATE OR REPLACE FUNCTION ledger.allocate_entry(OUT entry bigint, OUT recorded_at timestamptz) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    shown boolean;
BEGIN
    IF pg_catalog.current_setting('opsledger.manual_change', true) OPERATOR(pg_catalog.=) 'staged' THEN
        RAISE EXCEPTION 'this transaction has changed rows by hand: nothing else is recorded in it'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Commit first; a command has a transaction of its own.';
    END IF;
    -- NULL where it was never called, or set to begin anew.
    entry := coalesce(pg_catalog.pg_sequence_last_value('ledger.entry_sequence'), 0);
    -- 19796 << 48 | b
    IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(5572078638964146176 OPERATOR(pg_catalog.|) entry) THEN
        PERFORM ledger.show_bound(entry);
    END IF;
    PERFORM FROM ledger.checkpoints AS c WHERE c.entry OPERATOR(pg_catalog.>) allocate_entry.entry;
    IF FOUND OR entry OPERATOR(pg_catalog.>=) 199999999999999 THEN
        PERFORM ledger.refuse_number();
    END IF;
    entry := pg_catalog.nextval('ledger.entry_sequence');
    -- As require_instance asks, which is called where it must do more: a PERFORM costs as much as all of this.
    IF (CASE WHEN pg_catalog.current_setting('opsledger.backend', true)
            OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()::pg_catalog.text
        THEN pg_catalog.currval('ledger.session_mark')
            OPERATOR(pg_catalog.=) pg_catalog.pg_sequence_last_value('ledger.instance_mark') END)
        IS NOT TRUE
    THEN
        PERFORM ledger.require_instance();
    END IF;
    shown := pg_catalog.set_config('opsledger.entry', entry::pg_catalog.text, true) IS NOT NULL;
    recorded_at := ledger.now();
END
$$;
ALTER FUNCTION ledger.allocate_entry() OWNER TO opsledger_owner;

-- ledger.refuse_number: refuses where no number may be drawn, and says why. Who calls it saw a seal ahead of the numbers,
-- which others may have drawn and sealed between its two looks: here the seal is looked at first.
CREATE OR REPLACE FUNCTION ledger.refuse_number() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sealed CONSTANT bigint := ledger.sealed();
    stands CONSTANT bigint := coalesce(pg_sequence_last_value('ledger.entry_sequence'), 0);
BEGIN
    IF stands < sealed THEN
        RAISE EXCEPTION 'OPS_015: entry numbers were set back to %, and up to entry % all is sealed', stands, sealed
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'What was recorded there would never be pushed. `opsledger init` sets them right.';
    END IF;
    IF stands >= 199999999999999 THEN
        RAISE EXCEPTION 'OPS_014: entry numbers have ended: % was the last', stands
            USING ERRCODE = 'sequence_generator_limit_exceeded',
                HINT = 'Keep the store, and begin a new ledger in an empty database with `opsledger init`.';
    END IF;
END
$$;
ALTER FUNCTION ledger.refuse_number() OWNER TO opsledger_owner;
