-- ledger.seal: records how far the log can no longer change, and how many events there are up to there.
--
-- Returns  the greatest entry that is sealed now: every entry up to it is committed or never will be.
--          On a replica, which sees neither the locks nor the true sequence, the last seal committed.
-- Locks    none that an append waits for. Two seals of one number: the second waits for the first.
-- Refuses  where the database is not the one that was settled (ledger.require_instance), and where the sequence was set
--          back below the last seal (ledger.refuse_number), OPS_015.
-- Used by  heartbeat, push, and readers of history that may write. What was sealed may be read from the
--          next statement on, by `entry <= ledger.sealed()` in a snapshot of its own: a snapshot older
--          than the seal can miss entries that were committed in between.
CREATE OR REPLACE FUNCTION ledger.seal() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sealed bigint;
    safe bigint;
    holder bigint;
    base record;
BEGIN
    sealed := ledger.sealed();
    IF pg_is_in_recovery() THEN
        RETURN sealed;
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'ledger.seal() needs READ COMMITTED, this transaction is %',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'active_sql_transaction',
                HINT = 'Seal in a transaction of its own, then begin the one that reads.';
    END IF;
    PERFORM ledger.require_instance();
    -- Everything before a seal is flushed with it: what is exported after it cannot be lost by a crash.
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    -- The sequence first, the locks second (see ledger.appends_in_flight). Who shows b > safe draws
    -- beyond it.
    safe := coalesce(pg_sequence_last_value('ledger.entry_sequence'), 0);
    IF safe < sealed THEN
        PERFORM ledger.refuse_number();
    END IF;
    SELECT min(a.bound) INTO holder FROM ledger.appends_in_flight() AS a WHERE a.bound <= safe;
    safe := greatest(least(safe, holder), sealed);

    IF safe > sealed THEN
        -- Counted from the last that was; before it, what has left the database.
        SELECT b.entry, b.size INTO base FROM (
            (SELECT c.entry, c.size FROM ledger.checkpoints AS c
            WHERE c.size IS NOT NULL AND c.entry <= sealed ORDER BY c.entry DESC LIMIT 1)
            UNION ALL SELECT max(d.last), coalesce(sum(d.events), 0)::bigint FROM ledger.archived_partitions AS d
        ) AS b ORDER BY b.entry DESC NULLS LAST LIMIT 1;
        INSERT INTO ledger.checkpoints (entry, sealed_at, size) VALUES (safe, ledger.now(), base.size + (
            SELECT count(*) FROM ledger.events AS e WHERE e.entry > coalesce(base.entry, 0) AND e.entry <= safe))
        ON CONFLICT DO NOTHING;  -- Another session sealed the same.
    END IF;
    RETURN safe;
END
$$;
ALTER FUNCTION ledger.seal() OWNER TO opsledger_owner;
