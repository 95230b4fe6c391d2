-- ledger.allocate_entry: allocates an entry's number and time. Call it once in a transaction, after the last row lock.
--
-- Returns  one row: the entry's number, and the time after its allocation.
-- Locks    advisory key 19796 << 48 | b, shared, to the end of the transaction, where b is the sequence's last value.
--          Nobody waits for this lock; seal reads it. The order is essential: it reads b, takes the lock, then
--          allocates the number. So the number is greater than the b that it shows. Reading b also locks the sequence,
--          which tells seal that the advisory lock is one of allocate_entry(). If another session has the key
--          exclusively, it takes another key (ledger.show_bound), and never waits.
-- Refuses  in a transaction with staged manual changes: the new events would get a smaller number than these earlier
--          changes. If the sequence was set back below the last seal, or has ended (ledger.refuse_number): nobody would
--          push a number that is sealed already. If this database may not record (ledger.require_instance), OPS_015.
-- Sets     opsledger.entry, to the end of the transaction: capture looks for the events of this transaction there
--          first.
-- Used by  every append. It has few and short expressions, because each transaction prepares them again, and one query,
--          which takes 3 us. (The seal cannot be in a sequence too, which would be set back with the other one.) SET
--          search_path would take 2 us, so each name has its schema instead.
CREATE OR REPLACE FUNCTION ledger.allocate_entry(OUT entry bigint, OUT recorded_at timestamptz) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    shown boolean;
BEGIN
    IF pg_catalog.current_setting('opsledger.manual_change', true) OPERATOR(pg_catalog.=) 'staged' THEN
        RAISE EXCEPTION 'this transaction has manual changes, and can record nothing else'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Commit the manual changes first, and run the command in another transaction.';
    END IF;
    -- NULL in a fresh sequence, and after a reset.
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
    -- The first check of require_instance, repeated here because a PERFORM takes as long as the rest of
    -- allocate_entry().
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

-- ledger.refuse_number: raises an error if no number may be allocated. The caller saw a seal above its number, which
-- another session can have allocated and sealed in between. Therefore this function reads the seal first.
CREATE OR REPLACE FUNCTION ledger.refuse_number() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sealed CONSTANT bigint := ledger.sealed();
    stands CONSTANT bigint := coalesce(pg_sequence_last_value('ledger.entry_sequence'), 0);
BEGIN
    IF stands < sealed THEN
        RAISE EXCEPTION 'OPS_015: entry numbers were set back to %, but all entries up to % are sealed', stands, sealed
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'New entries would never be pushed. Run `opsledger init`, which corrects the numbers.';
    END IF;
    IF stands >= 199999999999999 THEN
        RAISE EXCEPTION 'OPS_014: no entry numbers are left: % was the last', stands
            USING ERRCODE = 'sequence_generator_limit_exceeded',
                HINT = 'Keep the store, and begin a new ledger in an empty database with `opsledger init`.';
    END IF;
END
$$;
