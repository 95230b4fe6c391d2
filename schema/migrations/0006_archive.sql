-- Archived parts of the log, erasures, and the progress of retention and push.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0006_archive.sql') THEN
        RETURN;
    END IF;

    -- The archived parts of the log: whole partitions, oldest first. The store has their events.
    CREATE TABLE ledger.archived_partitions (
        first bigint NOT NULL,  -- the bounds of the partition, in entry numbers
        last bigint NOT NULL,
        events bigint NOT NULL,
        root bytea NOT NULL,    -- of the tree over all events up to `last`
        segment text NOT NULL,  -- the file of the store that ends at `last`
        actor text NOT NULL,
        dropped_at timestamptz NOT NULL,
        CONSTRAINT archived_partitions_pkey PRIMARY KEY (last),
        CONSTRAINT a_part_is_whole
            CHECK (first >= 0 AND last - first = 999999 AND last <= 199999999999999 AND events >= 0),
        CONSTRAINT a_part_left_at_a_time CHECK (isfinite(dropped_at)),
        CONSTRAINT a_root_is_sha256 CHECK (octet_length(root) = 32)
    );

    -- Copies of archived events that the loop and the views read without a store: the events of policies, of holds and
    -- of the ledger itself, and erasures. Hashes and proofs use the originals in the store.
    CREATE TABLE ledger.kept_events (LIKE ledger.events INCLUDING ALL);
    CREATE UNIQUE INDEX kept_events_stream_idx ON ledger.kept_events (stream, version);

    -- The entry that last erased a stream: the content of the stream's earlier events is gone. Restore derives it
    -- again.
    CREATE TABLE ledger.erasures (
        stream uuid NOT NULL,
        entry bigint NOT NULL,
        CONSTRAINT erasures_pkey PRIMARY KEY (stream)
    );

    -- The reviewed plan of each retention run, so that an interrupted run continues with the same plan.
    CREATE TABLE ledger.retention_runs (
        plan text NOT NULL,            -- the digest of the plan that was reviewed
        missions uuid[] NOT NULL,
        fingerprints text[] NOT NULL,  -- for each mission: the versions of its rows in the plan
        partitions bigint[] NOT NULL,  -- partitions of the log, by their first entry numbers
        actor text NOT NULL,
        begun_at timestamptz NOT NULL,
        ended_at timestamptz,
        CONSTRAINT retention_runs_pkey PRIMARY KEY (plan)
    );

    -- How far the pushes to each store have hashed the earlier events again. It only saves time: a crash of the server
    -- empties it, and the next push begins at the log's first event.
    CREATE UNLOGGED TABLE ledger.rechecks (
        store text NOT NULL,
        entry bigint NOT NULL,
        frontier bytea NOT NULL,
        at timestamptz NOT NULL,
        CONSTRAINT rechecks_pkey PRIMARY KEY (store)
    );

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0006_archive.sql', '0.1.0');
END $migration$;
