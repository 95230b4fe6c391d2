-- ledger.drop_partition: archives the first partition of the log: drops it, and records that the store has its events.
--
-- Takes    the partition's first number; the file of the store that ends at its end, the number of the partition's
--          events there, and the root at its end; and the actor. The caller has read all of these back from the store.
-- Returns  true; false if the partition does not exist any more.
-- Refuses  a partition that is not the first, that is not sealed to its end, that has another number of events, or
--          whose root was never recorded here.
-- Locks    the log, ACCESS EXCLUSIVE, for a moment. It waits at most 200 ms for that lock, so that no append waits
--          longer, and then raises lock_not_available: try again.
-- Used by  retention. It runs as its owner, the installing superuser. Only the repair role may call it.
CREATE OR REPLACE FUNCTION ledger.drop_partition(
    first bigint, segment text, events bigint, root bytea, actor text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
    span CONSTANT bigint := 1000000;
    last CONSTANT bigint := drop_partition.first + span - 1;
    part CONSTANT text := ledger.partition_name(drop_partition.first);
    held bigint;
BEGIN
    LOCK TABLE ledger.ddl_permits IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass('ledger.' || part) IS NULL THEN
        RETURN false;
    END IF;
    IF EXISTS (
        SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ledger.events'::regclass
          AND substring(c.relname FROM '^events_p([0-9]+)$')::bigint < drop_partition.first)
    THEN
        RAISE EXCEPTION 'OPS_013: partition % cannot be archived: the log has earlier partitions', part
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Partitions leave in their order: review `opsledger retention plan`.';
    END IF;
    IF last > ledger.sealed() THEN
        RAISE EXCEPTION 'OPS_013: partition % cannot be archived: it is not sealed to its end', part
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = '`opsledger status` names what holds the seal back, if anything does.';
    END IF;
    EXECUTE format('SELECT count(*) FROM ledger.%I', part) INTO held;
    IF held <> drop_partition.events THEN
        RAISE EXCEPTION 'OPS_015: partition % has % events, but the store has % events of it',
            part, held, drop_partition.events
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'See `opsledger archive verify` and `opsledger verify`.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM ledger.checkpoints AS c
        WHERE c.entry = last AND c.root = drop_partition.root)
    THEN
        RAISE EXCEPTION 'OPS_015: the store''s root at the end of partition % was never recorded here', part
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Push to this store first: `opsledger archive push`.';
    END IF;
    EXECUTE format($sql$
        INSERT INTO ledger.kept_events SELECT e.* FROM ledger.%I AS e
        WHERE split_part(e.type, '.', 1) IN ('policy', 'ledger', 'hold') OR e.type LIKE '%%.erased'
        ON CONFLICT DO NOTHING $sql$, part);
    INSERT INTO ledger.archived_partitions (first, last, events, root, segment, actor, dropped_at)
    VALUES (drop_partition.first, last, drop_partition.events, drop_partition.root,
        drop_partition.segment, drop_partition.actor, ledger.now());
    PERFORM ledger_guard.change_schema(ARRAY[format('DROP TABLE ledger.%I', part)]);
    RETURN true;
END
$$;
