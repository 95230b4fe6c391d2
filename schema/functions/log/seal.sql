-- ledger.seal: records a seal: the entry up to which the log can no longer change, and the number of events up to
-- there.
--
-- Returns  the greatest sealed entry. Every entry up to it is committed or never will be. On a standby, which sees
--          neither the locks nor the true sequence, it returns the last seal.
-- Locks    none that an append waits for. Two seals of the same entry wait for each other.
-- Refuses  if this database may not record (ledger.require_instance), or if the sequence was set back below the last
--          seal (ledger.refuse_number): OPS_015.
-- Used by  heartbeat, push, and readers of history that may write. Read the sealed prefix in a later statement, by
--          `entry <= ledger.sealed()`. A snapshot older than the seal can miss entries that were committed in between.
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
    PERFORM ledger.require_read_committed('ledger.seal()');
    PERFORM ledger.require_instance();
    -- The commit of a seal flushes all earlier entries, so a crash cannot lose an entry that was exported.
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    -- The sequence first, then the locks (ledger.appends_in_flight). A bound above `safe` means a number above it.
    safe := coalesce(pg_sequence_last_value('ledger.entry_sequence'), 0);
    IF safe < sealed THEN
        PERFORM ledger.refuse_number();
    END IF;
    SELECT min(a.bound) INTO holder FROM ledger.appends_in_flight() AS a WHERE a.bound <= safe;
    safe := greatest(least(safe, holder), sealed);

    IF safe > sealed THEN
        -- Counts on from the last seal with a size, or from the archived partitions.
        SELECT b.entry, b.size INTO base FROM (
            (SELECT c.entry, c.size FROM ledger.checkpoints AS c
            WHERE c.size IS NOT NULL AND c.entry <= sealed ORDER BY c.entry DESC LIMIT 1)
            UNION ALL SELECT max(d.last), coalesce(sum(d.events), 0)::bigint FROM ledger.archived_partitions AS d
        ) AS b ORDER BY b.entry DESC NULLS LAST LIMIT 1;
        INSERT INTO ledger.checkpoints (entry, sealed_at, size) VALUES (safe, ledger.now(), base.size + (
            SELECT count(*) FROM ledger.events AS e WHERE e.entry > coalesce(base.entry, 0) AND e.entry <= safe))
        ON CONFLICT DO NOTHING;  -- Another session sealed the same entry.
    END IF;
    RETURN safe;
END
$$;
