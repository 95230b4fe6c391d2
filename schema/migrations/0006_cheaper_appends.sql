-- What an append paid for and did not need, measured by `tools/bench append-1`.
--
-- CHECKs on the log and on command keys: PostgreSQL parses each anew for every INSERT, which was a
-- tenth of the server's time of an append of one event. That versions count from 1 and indexes from 0
-- without a gap is what `verify` proves; that content is salted or erased stays a CHECK.
--
-- The index of agent events by mission held every event without one.
--
-- Locks    ACCESS EXCLUSIVE on the log and on ops_agent_events, briefly but for the index.
-- Used by  every append.

DO $migration$
DECLARE
    check_of record;
BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0006_cheaper_appends.sql') THEN
        RETURN;
    END IF;

    -- The parent first: each partition has a CHECK of its own, and may drop it once it inherits none.
    FOR check_of IN
        SELECT c.conrelid::regclass AS holder, c.conname AS name
        FROM pg_constraint AS c
        WHERE c.contype = 'c' AND c.conname IN ('indexes_count_from_zero',
            'versions_count_from_one', 'a_salt_has_16_bytes', 'a_commitment_is_sha256',
            'a_count_is_not_negative')
            AND c.connamespace = 'ledger'::regnamespace
        ORDER BY c.coninhcount
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', check_of.holder, check_of.name);
    END LOOP;

    DROP INDEX public.ops_agent_events_mission_idx;
    CREATE INDEX ops_agent_events_mission_idx ON public.ops_agent_events (mission_id)
        WHERE mission_id IS NOT NULL;

    INSERT INTO ledger.migrations (name, oldest_binary)
    VALUES ('0006_cheaper_appends.sql', '0.1.0');
END $migration$;
