-- Retention runs: what was reviewed and is being done, so that a run which was cut short goes on with the same.
--
-- Locks    none that others wait for.
-- Used by  retention apply.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0018_retention.sql') THEN
        RETURN;
    END IF;

    CREATE TABLE ledger.retention_runs (
        plan text NOT NULL,            -- the digest that was reviewed
        missions uuid[] NOT NULL,
        fingerprints text[] NOT NULL,  -- of each: the versions of its rows when it was planned
        partitions bigint[] NOT NULL,  -- of the log: their first numbers
        actor text NOT NULL,
        begun_at timestamptz NOT NULL,
        ended_at timestamptz,
        CONSTRAINT retention_runs_pkey PRIMARY KEY (plan)
    );
    ALTER TABLE ledger.retention_runs OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0018_retention.sql', '0.1.0');
END $migration$;
