-- ledger.add_partitions: creates partitions of the log in advance, so that no append lacks one.
--
-- Returns  how many it created. It wants the partition of the sequence's last value and the next four, with 1,000,000
--          entry numbers each, up to the last entry number. Usually they exist, and it only looks up five names. It
--          also returns 0 while another session creates partitions.
-- Locks    ledger.ddl_permits, to the end of the transaction, if a partition is missing. A new table and ATTACH take
--          SHARE UPDATE EXCLUSIVE on the log, so appends and readers continue. It waits 2 s for that lock, and then
--          fails only if the next partition is missing.
-- Used by  init, heartbeat. It runs as its owner, the installing superuser, who may permit DDL.
CREATE OR REPLACE FUNCTION ledger.add_partitions() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET default_tablespace = '' AS $$
DECLARE
    span CONSTANT bigint := 1000000;
    first CONSTANT bigint := coalesce(pg_sequence_last_value('ledger.entry_sequence'), 0) / span * span;
    -- The sequence ends where a partition ends.
    last CONSTANT bigint := least(first + 4 * span, 199999999999999 / span * span);
    low bigint := first;
    made integer := 0;
BEGIN
    IF (SELECT bool_and(to_regclass('ledger.' || ledger.partition_name(n)) IS NOT NULL)
        FROM generate_series(first, last, span) AS n)
    THEN
        RETURN 0;
    END IF;
    BEGIN
        LOCK TABLE ledger.ddl_permits IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN 0;
    END;
    -- A FOR loop has integers of 31 bits.
    WHILE low <= last LOOP
        BEGIN
            made := made + ledger_guard.add_partition(low, span);
        EXCEPTION WHEN lock_not_available THEN
            IF low <= first + span THEN
                RAISE;
            END IF;
            RAISE WARNING 'the partition of ledger.events from entry % was not created: no lock within 2 s; '
                'the next heartbeat tries again', low;
            EXIT;
        END;
        low := low + span;
    END LOOP;
    RETURN made;
END
$$;

-- ledger.have_partitions: creates the missing partitions for these entry numbers.
--
-- Returns  how many it created.
-- Locks    as add_partitions, but it waits while another session creates partitions.
-- Used by  restore, before it puts events back. It runs as its owner, the installing superuser.
CREATE OR REPLACE FUNCTION ledger.have_partitions(entries bigint[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET default_tablespace = '' AS $$
DECLARE
    span CONSTANT bigint := 1000000;
    low bigint;
    made integer := 0;
BEGIN
    LOCK TABLE ledger.ddl_permits IN SHARE UPDATE EXCLUSIVE MODE;
    FOR low IN SELECT DISTINCT e.entry / span * span FROM unnest(entries) AS e(entry) ORDER BY 1 LOOP
        made := made + ledger_guard.add_partition(low, span);
    END LOOP;
    RETURN made;
END
$$;

-- ledger_guard.add_partition: creates a partition with its protections. Returns 1, or 0 if it exists.
CREATE OR REPLACE FUNCTION ledger_guard.add_partition(low bigint, span bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    part CONSTANT text := ledger.partition_name(low);
BEGIN
    IF to_regclass('ledger.' || part) IS NOT NULL THEN
        RETURN 0;
    END IF;
    PERFORM ledger_guard.change_schema(ARRAY[
        format('CREATE TABLE ledger.%I (LIKE ledger.events INCLUDING ALL)', part),
        format('ALTER TABLE ledger.%I ADD CONSTRAINT %I UNIQUE (stream, version)',
            part, part || '_one_event_a_version'),
        format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE '
            'ON ledger.%I FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', part),
        format('ALTER TABLE ledger.%I ENABLE ALWAYS TRIGGER append_only', part),
        -- This also gives the partition the row trigger of the log.
        format('ALTER TABLE ledger.events ATTACH PARTITION ledger.%I FOR VALUES FROM (%s) TO (%s)',
            part, low, low + span),
        format('ALTER TABLE ledger.%I OWNER TO opsledger_owner', part),
        format('REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON ledger.%I FROM opsledger_owner', part),
        format('GRANT SELECT ON ledger.%I TO opsledger_engine, opsledger_operator, opsledger_auditor, opsledger_repair',
            part)]);
    RETURN 1;
END
$$;

-- ledger.partition_name: the name of the partition with this lower bound, in at least twelve digits.
CREATE OR REPLACE FUNCTION ledger.partition_name(low bigint) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'events_p' || lpad(low::text, greatest(12, length(low::text)), '0')
$$;
