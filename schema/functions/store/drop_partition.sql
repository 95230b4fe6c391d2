-- ledger.drop_partition: lets the first partition of the log go, which the store holds.
--
-- Takes    the partition's first number, the file of the store that ends where it ends, how many events the store
--          has of it, the root there, and who does it. The caller has read all of it back from the store.
-- Returns  true; false where there is no such partition any more.
-- Refuses  one that is not the first, is not sealed to its end, has another number of events, or whose root
--          nobody has noted here.
-- Locks    the log, for a moment: ACCESS EXCLUSIVE, which it gives up waiting for after 200 ms, so that no append
--          stands behind it for longer. lock_not_available then: try again.
-- Used by  retention. As its owner, the installing superuser, who may permit DDL in ledger; only the keeper may call it.
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
    permitted boolean;
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
        RAISE EXCEPTION 'OPS_013: %: the log leaves from its front, and has earlier partitions', part
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF last > ledger.sealed() THEN
        RAISE EXCEPTION 'OPS_013: % is not sealed to its end', part
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('SELECT count(*) FROM ledger.%I', part) INTO held;
    IF held <> drop_partition.events THEN
        RAISE EXCEPTION 'OPS_015: % has % events, the store has % of it', part, held, drop_partition.events
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF NOT EXISTS (
        SELECT FROM ledger.checkpoints AS c
        WHERE c.entry = last AND c.root = drop_partition.root)
    THEN
        RAISE EXCEPTION 'OPS_015: the root of the store at the end of % was never noted here', part
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Push to this store first.';
    END IF;
    EXECUTE format($sql$
        INSERT INTO ledger.kept_events SELECT e.* FROM ledger.%I AS e
        WHERE split_part(e.type, '.', 1) IN ('policy', 'ledger', 'hold') OR e.type LIKE '%%.erased'
        ON CONFLICT DO NOTHING $sql$, part);
    INSERT INTO ledger.archived_partitions (first, last, events, root, segment, actor, dropped_at)
    VALUES (drop_partition.first, last, drop_partition.events, drop_partition.root,
        drop_partition.segment, drop_partition.actor, ledger.now());
    INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    permitted := FOUND;
    EXECUTE format('DROP TABLE ledger.%I', part);
    IF permitted THEN
        DELETE FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id();
    END IF;
    RETURN true;
END
$$;
