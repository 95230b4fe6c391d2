-- ledger.record_root: records the root of the Merkle tree over the events up to a sealed entry, as a checkpoint of its
-- own beside the seal. A root that is recorded already stays.
--
-- Takes    by_push: whether this database has just pushed its events up to there. Such a database is no stale copy
--          (ledger.pushed_since_start).
-- Used by  push, restore.
CREATE OR REPLACE FUNCTION ledger.record_root(
    entry bigint, size bigint, root bytea, frontier bytea, by_push boolean
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF record_root.entry > ledger.sealed() THEN
        RAISE EXCEPTION 'cannot record a root at entry %: it is not sealed', record_root.entry
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call ledger.seal() first.';
    END IF;
    INSERT INTO ledger.checkpoints (entry, sealed_at, size, root, frontier, recorded_in)
    VALUES (record_root.entry, ledger.now(), record_root.size, record_root.root, record_root.frontier,
        CASE WHEN by_push THEN ledger.server_run() || '/' || pg_current_xact_id()::xid END)
    ON CONFLICT DO NOTHING;
END
$$;
