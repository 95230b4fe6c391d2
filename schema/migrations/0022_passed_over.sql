-- The rows that the loop passes over: they cannot be decided over, or the database refuses what would come of
-- them. What status and doctor say of it; nothing goes by this table.
--
-- Locks    none that others wait for.
-- Used by  heartbeat, worker; status, doctor.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0022_passed_over.sql') THEN
        RETURN;
    END IF;

    -- Not unlogged: a standby's status and doctor say it too.
    CREATE TABLE ledger.passed_over (
        name text NOT NULL,    -- who passes it over: heartbeat, or a worker's name
        stream uuid NOT NULL,
        noun text NOT NULL,
        why text NOT NULL,
        since timestamptz NOT NULL,
        seen_at timestamptz NOT NULL,
        CONSTRAINT passed_over_pkey PRIMARY KEY (name, stream)
    );
    ALTER TABLE ledger.passed_over OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0022_passed_over.sql', '0.1.0');
END $migration$;
