-- pgcrypto, for SHA-1: ids of rows without one are UUIDv5, and PostgreSQL has only newer digests.
--
-- In public where it is not there yet, as in the origin, whose clients call it unqualified; where it
-- is already, in any schema, it stays. ledger.uuid_v5 names the schema it found.
--
-- Locks    none that others wait for.
-- Used by  ledger.uuid_v5.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0005_pgcrypto.sql') THEN
        RETURN;
    END IF;

    CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0005_pgcrypto.sql', '0.1.0');
END $migration$;
