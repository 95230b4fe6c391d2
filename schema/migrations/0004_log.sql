-- The log, the numbers that order it, and what is kept beside it.
--
-- Locks    none that others wait for.
-- Used by  every command of the engine; seal; verify, rebuild and whoever reads history.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0004_log.sql') THEN
        RETURN;
    END IF;

    -- One fact a row. json, not jsonb: its bytes stay as they were written, since they are hashed.
    -- Partitions are made by ledger.add_partitions, each with UNIQUE (stream, version): the key of
    -- a partitioned table must contain `entry`, so the parent cannot hold that rule.
    CREATE TABLE ledger.events (
        entry bigint NOT NULL,
        index integer NOT NULL,    -- 0… within the entry
        stream uuid NOT NULL,      -- the row
        version integer NOT NULL,  -- 1… within the stream, no gaps
        type text NOT NULL,        -- 'step.leased'
        recorded_at timestamptz NOT NULL,
        actor text NOT NULL,
        cause bigint,              -- the entry that led to this one, where one did
        command uuid,              -- null for what a hand's SQL did
        data json NOT NULL,        -- structure: stays for ever
        content json,              -- what people and programs wrote: can be erased
        salt bytea,
        commitment bytea,          -- of erased content: SHA-256(salt || content) as it was
        CONSTRAINT events_pkey PRIMARY KEY (entry, index),
        -- PostgreSQL parses each CHECK anew for every INSERT, so there are two, and short ones. That indexes and
        -- versions have no gap is what `verify` proves.
        -- A time of four digits: replay, segments and snapshots hold no other.
        CONSTRAINT a_time_can_be_replayed CHECK (recorded_at >= '0001-01-01 00:00:00+00'
            AND recorded_at < '10000-01-01 00:00:00+00'),
        -- Content is salted; erased content keeps its field names, loses the salt, and has a commitment.
        CONSTRAINT content_is_salted_or_erased CHECK (num_nonnulls(salt, commitment) = num_nonnulls(content))
    ) PARTITION BY RANGE (entry);
    ALTER TABLE ledger.events OWNER TO opsledger_owner;

    -- It ends at a partition's end, within the 48 bits in which draw shows a number; EntryNumber.last in Swift.
    -- CACHE 1 and one number burnt: only then does `last_value` say what was drawn last, and is every
    -- number drawn after reading it greater (pitfalls: with a fresh sequence 1 may mean "none yet").
    CREATE SEQUENCE ledger.entry_sequence AS bigint MAXVALUE 199999999999999 CACHE 1 NO CYCLE;
    PERFORM nextval('ledger.entry_sequence');
    ALTER SEQUENCE ledger.entry_sequence OWNER TO opsledger_owner;

    -- Commands whose key came from outside: who asks again gets the first answer. Their ids are made of the key, as
    -- UUIDs of version 5, by which the log tells them from the engine's own, of which nothing is kept here.
    CREATE TABLE ledger.idempotency_keys (
        command uuid NOT NULL,
        entry bigint NOT NULL,
        digest bytea,  -- of the request; the same key with another request is refused
        result json,
        recorded_at timestamptz NOT NULL,
        CONSTRAINT idempotency_keys_pkey PRIMARY KEY (command),
        CONSTRAINT a_key_is_from_outside CHECK (substr(command::text, 15, 1) = '5')
    );
    ALTER TABLE ledger.idempotency_keys OWNER TO opsledger_owner;

    -- Seals: every entry up to this one is committed or never will be. A seal's size is the number of events up to it,
    -- so that an event which is taken off the end of its stream is missed. A push that has hashed the events up to a
    -- seal adds a second row of the same entry, with root and frontier: no row is ever changed. Append-only like the log.
    CREATE TABLE ledger.checkpoints (
        entry bigint NOT NULL,
        sealed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        size bigint,
        root bytea,
        frontier bytea,
        note text,
        recorded_in text,  -- the run of the server and the transaction in which a push noted the root (ledger.server_run)
        CONSTRAINT a_seal_is_of_an_entry CHECK (entry BETWEEN 0 AND 199999999999999),
        CONSTRAINT a_root_is_sha256 CHECK (octet_length(root) = 32),
        CONSTRAINT a_root_has_its_tree
            CHECK ((root IS NULL) = (frontier IS NULL) AND (root IS NULL OR size IS NOT NULL))
    );
    CREATE UNIQUE INDEX checkpoints_entry_idx ON ledger.checkpoints (entry, (root IS NULL));
    ALTER TABLE ledger.checkpoints OWNER TO opsledger_owner;

    -- The last version of every row that left, for ever: a row inserted again goes on from it. Of
    -- archived rows also the dedupe key, which goes on refusing duplicates.
    CREATE TABLE ledger.tombstones (
        stream uuid NOT NULL,
        row_type text NOT NULL,
        version integer NOT NULL,
        dedupe_key text,
        CONSTRAINT tombstones_pkey PRIMARY KEY (stream)
    );
    CREATE INDEX tombstones_dedupe_idx ON ledger.tombstones (row_type, dedupe_key)
        WHERE dedupe_key IS NOT NULL;
    ALTER TABLE ledger.tombstones OWNER TO opsledger_owner;

    -- Where this database lives, so that a copy of it, an old one put back, and a promoted standby are noticed before
    -- they draw numbers that another history has. A sequence, since every draw reads it without a query and it is set
    -- for all sessions at once: its last value is the mark of the place (ledger.current_mark). Never set: the database has no
    -- home yet, and nothing is refused. 0: the store was seen to hold what this database lacks.
    CREATE SEQUENCE ledger.instance_mark AS bigint
        MINVALUE -9223372036854775808 MAXVALUE 9223372036854775807 START 0 NO CYCLE;
    ALTER SEQUENCE ledger.instance_mark OWNER TO opsledger_owner;

    -- Where each backend keeps its own mark, as the sequence's current value; see ledger.require_instance.
    CREATE UNLOGGED SEQUENCE ledger.session_mark AS bigint
        MINVALUE -9223372036854775808 MAXVALUE 9223372036854775807 START 0 NO CYCLE;
    ALTER SEQUENCE ledger.session_mark OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0004_log.sql', '0.1.0');
END $migration$;
