-- ledger.add_partitions: makes the log's partitions ahead of need; no append meets a missing one.
--
-- Returns  how many it made; 0, at the cost of five look-ups by name, when enough are there: the one
--          that the sequence stands in and four more, of 1,000,000 entry numbers each, none beyond the last
--          entry number. 0 also while another session is making them.
-- Locks    ledger.ddl_permits, to the end of the transaction, only when something is missing. A new
--          table and ATTACH take SHARE UPDATE EXCLUSIVE on the log: appends and readers go on. Where
--          that lock does not come within 2 s it stops, and fails only if nothing is ahead.
-- Used by  init, heartbeat. As its owner, the installing superuser, who may permit DDL in ledger.
CREATE OR REPLACE FUNCTION ledger.add_partitions() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET default_tablespace = '' AS $$
DECLARE
    span CONSTANT bigint := 1000000;
    first CONSTANT bigint := coalesce(pg_sequence_last_value('ledger.entry_sequence'), 0) / span * span;
    -- The sequence ends where a partition does.
    last CONSTANT bigint := least(first + 4 * span, 199999999999999 / span * span);
    low bigint := first;
    made integer := 0;
    permitted boolean := false;
BEGIN
    IF ledger.partitions_ahead(first, last, span) THEN
        RETURN 0;
    END IF;
    BEGIN
        LOCK TABLE ledger.ddl_permits IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN 0;  -- Another session is making them.
    END;
    INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    permitted := FOUND;

    -- A FOR loop over integers counts in 31 bits, whatever its bounds are.
    WHILE low <= last LOOP
        BEGIN
            made := made + ledger_guard.add_partition(low, span);
        EXCEPTION WHEN lock_not_available THEN
            IF low <= first + span THEN
                RAISE;
            END IF;
            RAISE WARNING 'a lock on ledger.events did not come within 2 s: the one from % made later', low;
            EXIT;
        END;
        low := low + span;
    END LOOP;

    IF permitted THEN
        DELETE FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id();
    END IF;
    RETURN made;
END
$$;

-- ledger.have_partitions: makes the partitions that hold these entry numbers, where any is missing.
--
-- Returns  how many it made.
-- Locks    as add_partitions; waits for another session that makes partitions.
-- Used by  restore, before it puts events back.
CREATE OR REPLACE FUNCTION ledger.have_partitions(entries bigint[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET default_tablespace = '' AS $$
DECLARE
    span CONSTANT bigint := 1000000;
    low bigint;
    made integer := 0;
    permitted boolean;
BEGIN
    LOCK TABLE ledger.ddl_permits IN SHARE UPDATE EXCLUSIVE MODE;
    INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    permitted := FOUND;
    FOR low IN SELECT DISTINCT e.entry / span * span FROM unnest(entries) AS e(entry) ORDER BY 1 LOOP
        made := made + ledger_guard.add_partition(low, span);
    END LOOP;
    IF permitted THEN
        DELETE FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id();
    END IF;
    RETURN made;
END
$$;

-- ledger_guard.add_partition: one partition with its protections, where it is not there. The caller permits DDL.
CREATE OR REPLACE FUNCTION ledger_guard.add_partition(low bigint, span bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part CONSTANT text := ledger.partition_name(low);
BEGIN
    IF to_regclass('ledger.' || part) IS NOT NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('CREATE TABLE ledger.%I (LIKE ledger.events INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE ledger.%I ADD CONSTRAINT %I UNIQUE (stream, version)',
        part, part || '_one_event_a_version');
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE '
        'ON ledger.%I FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', part);
    EXECUTE format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER append_only', part);
    -- The row trigger of the parent comes with this.
    EXECUTE format('ALTER TABLE ledger.events ATTACH PARTITION ledger.%I '
        'FOR VALUES FROM (%s) TO (%s)', part, low, low + span);
    EXECUTE format('ALTER TABLE ledger.%I OWNER TO opsledger_owner', part);
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON ledger.%I '
        'FROM opsledger_owner', part);
    EXECUTE format('GRANT SELECT ON ledger.%I TO opsledger_engine, opsledger_operator, '
        'opsledger_auditor, opsledger_repair', part);
    RETURN 1;
END
$$;

-- The name of the partition with this lower bound: the number in twelve digits, in more where it has more.
CREATE OR REPLACE FUNCTION ledger.partition_name(low bigint) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'events_p' || lpad(low::text, greatest(12, length(low::text)), '0')
$$;

-- Whether all partitions between two lower bounds are there.
CREATE OR REPLACE FUNCTION ledger.partitions_ahead(first bigint, last bigint, span bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT bool_and(to_regclass('ledger.' || ledger.partition_name(low)) IS NOT NULL)
    FROM generate_series(first, last, span) AS low
$$;
