-- What left the tables or the log, and what stores were told.
--
-- Locks    none that others wait for.
-- Used by  push, retention, erase; every reader of the whole log.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0006_archive.sql') THEN
        RETURN;
    END IF;

    -- The parts of the log that left the database: whole partitions from its front, which the store holds.
    CREATE TABLE ledger.archived_partitions (
        first bigint NOT NULL,  -- entry numbers, those that no entry has included
        last bigint NOT NULL,
        events bigint NOT NULL,
        root bytea NOT NULL,    -- of the tree over all events up to `last`
        segment text NOT NULL,  -- the file that ends there
        actor text NOT NULL,
        dropped_at timestamptz NOT NULL,
        CONSTRAINT archived_partitions_pkey PRIMARY KEY (last),
        CONSTRAINT a_part_is_whole
            CHECK (first >= 0 AND last - first = 999999 AND last <= 199999999999999 AND events >= 0),
        CONSTRAINT a_part_left_at_a_time CHECK (isfinite(dropped_at)),
        CONSTRAINT a_root_is_sha256 CHECK (octet_length(root) = 32)
    );
    ALTER TABLE ledger.archived_partitions OWNER TO opsledger_owner;

    -- Copies, kept for ever, of what the loop and the views read without a store: the events of policies and of the
    -- ledger itself. Their originals are in the store, and only those are hashed.
    CREATE TABLE ledger.kept_events (LIKE ledger.events INCLUDING ALL);
    ALTER TABLE ledger.kept_events OWNER TO opsledger_owner;
    CREATE UNIQUE INDEX kept_events_stream_idx ON ledger.kept_events (stream, version);

    -- The entry that erased a stream last: what its events before that held is nowhere. Made again by restore.
    CREATE TABLE ledger.erasures (
        stream uuid NOT NULL,
        entry bigint NOT NULL,
        CONSTRAINT erasures_pkey PRIMARY KEY (stream)
    );
    ALTER TABLE ledger.erasures OWNER TO opsledger_owner;

    -- What a retention run reviewed and does, so that a run which was cut short goes on with the same.
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

    -- How far each store's pushes have hashed again what was pushed before: a place to go on from, and no more. A crash
    -- of the server empties it, and the next push begins at the log's first event.
    CREATE UNLOGGED TABLE ledger.rechecks (
        store text NOT NULL,
        entry bigint NOT NULL,
        frontier bytea NOT NULL,
        at timestamptz NOT NULL,
        CONSTRAINT rechecks_pkey PRIMARY KEY (store)
    );
    ALTER TABLE ledger.rechecks OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0006_archive.sql', '0.1.0');
END $migration$;
