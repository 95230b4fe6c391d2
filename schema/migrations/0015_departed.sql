-- The part of the log that has left the database: whole partitions from its front, which the store holds.
--
-- Standing events are copies, kept at hand for ever, of what the loop and the views go by without a store: the
-- events of policies and of the ledger itself. Their originals are in the store, and the only ones that are hashed.
--
-- Locks    none that others wait for.
-- Used by  drop_partition; every reader of the whole log.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0015_departed.sql') THEN
        RETURN;
    END IF;

    CREATE TABLE ledger.departed (
        first bigint NOT NULL,  -- entry numbers, those that no entry has included
        last bigint NOT NULL,
        events bigint NOT NULL,
        root bytea NOT NULL,    -- of the tree over all events up to `last`
        segment text NOT NULL,  -- the file that ends there
        actor text NOT NULL,
        dropped_at timestamptz NOT NULL,
        CONSTRAINT departed_pkey PRIMARY KEY (last),
        CONSTRAINT a_part_is_whole
            CHECK (first >= 0 AND last - first = 999999 AND last <= 199999999999999 AND events >= 0),
        CONSTRAINT a_part_left_at_a_time CHECK (isfinite(dropped_at)),
        CONSTRAINT a_root_is_sha256 CHECK (octet_length(root) = 32)
    );
    ALTER TABLE ledger.departed OWNER TO opsledger_owner;

    CREATE TABLE ledger.standing_events (LIKE ledger.events INCLUDING ALL);
    ALTER TABLE ledger.standing_events OWNER TO opsledger_owner;
    CREATE UNIQUE INDEX standing_events_stream_idx ON ledger.standing_events (stream, version);

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0015_departed.sql', '0.1.0');
END $migration$;
