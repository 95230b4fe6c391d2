-- The log, the number that orders it, and the books beside it.
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
        CONSTRAINT indexes_count_from_zero CHECK (index >= 0),
        CONSTRAINT versions_count_from_one CHECK (version >= 1),
        CONSTRAINT a_salt_has_16_bytes CHECK (octet_length(salt) = 16),
        CONSTRAINT a_commitment_is_sha256 CHECK (octet_length(commitment) = 32),
        -- As far as a time of four digits goes: replay, segments and snapshots hold no other.
        CONSTRAINT a_time_can_be_replayed CHECK (recorded_at >= '0001-01-01 00:00:00+00'
            AND recorded_at < '10000-01-01 00:00:00+00'),
        -- Content is salted; erased content keeps its field names, loses the salt, and has a commitment.
        CONSTRAINT content_is_salted_or_erased CHECK (
            CASE WHEN content IS NULL THEN salt IS NULL AND commitment IS NULL
                 ELSE (salt IS NULL) = (commitment IS NOT NULL) END)
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
    CREATE TABLE ledger.commands (
        command uuid NOT NULL,
        entry bigint NOT NULL,
        digest bytea,  -- of the request; the same key with another request is refused
        result json,
        recorded_at timestamptz NOT NULL,
        CONSTRAINT commands_pkey PRIMARY KEY (command),
        CONSTRAINT a_key_is_from_outside CHECK (substr(command::text, 15, 1) = '5')
    );
    ALTER TABLE ledger.commands OWNER TO opsledger_owner;

    -- Seals: every entry up to this one is committed or never will be. Its size is how many events there are up to it,
    -- so that one which is taken off the end of its stream is missed. With the Merkle root, signed elsewhere, a seal is
    -- a checkpoint. Append-only like the log.
    CREATE TABLE ledger.checkpoints (
        entry bigint NOT NULL,
        sealed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        size bigint,
        root bytea,
        frontier bytea,
        note text,
        CONSTRAINT checkpoints_pkey PRIMARY KEY (entry),
        CONSTRAINT a_seal_is_of_an_entry CHECK (entry BETWEEN 0 AND 199999999999999),
        CONSTRAINT a_root_is_sha256 CHECK (octet_length(root) = 32)
    );
    ALTER TABLE ledger.checkpoints OWNER TO opsledger_owner;

    -- The last version of every row that left, for ever: a row inserted again goes on from it. Of
    -- archived rows also the dedupe key, which goes on refusing duplicates.
    CREATE TABLE ledger.tombstones (
        stream uuid NOT NULL,
        noun text NOT NULL,
        version integer NOT NULL,
        dedupe_key text,
        CONSTRAINT tombstones_pkey PRIMARY KEY (stream)
    );
    CREATE INDEX tombstones_dedupe_idx ON ledger.tombstones (noun, dedupe_key)
        WHERE dedupe_key IS NOT NULL;
    ALTER TABLE ledger.tombstones OWNER TO opsledger_owner;

    -- The ledger's own row, a projection like the eight: who it is and what it is called.
    CREATE TABLE ledger.ledger (
        key text NOT NULL,
        identity uuid NOT NULL,
        name text NOT NULL,
        version integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT ledger_pkey PRIMARY KEY (key)
    );
    ALTER TABLE ledger.ledger OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0004_log.sql', '0.1.0');
END $migration$;
