-- The log, its entry numbers, its checkpoints, and its bookkeeping tables.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0004_log.sql') THEN
        RETURN;
    END IF;

    -- One row for each event. The payloads are json, not jsonb, because their bytes are hashed and must stay the same.
    -- ledger.add_partitions creates the partitions, each with UNIQUE (stream, version). The parent cannot have that
    -- constraint: a unique key of a partitioned table must contain `entry`.
    CREATE TABLE ledger.events (
        entry bigint NOT NULL,
        index integer NOT NULL,    -- the position in the entry, from 0
        stream uuid NOT NULL,      -- the row
        version integer NOT NULL,  -- the position in the stream, from 1 without gaps
        type text NOT NULL,        -- 'step.leased'
        recorded_at timestamptz NOT NULL,
        actor text NOT NULL,
        cause bigint,              -- the entry that led to this one
        command uuid,              -- null for a manual change
        data json NOT NULL,        -- structure, which stays
        content json,              -- what people and programs wrote, which can be erased
        salt bytea,
        commitment bytea,          -- SHA-256(salt || content) of the content that was erased
        CONSTRAINT events_pkey PRIMARY KEY (entry, index),
        -- PostgreSQL parses each CHECK again for every INSERT, so there are only two short ones. `verify` proves that
        -- indexes and versions have no gaps. Replay, segments and snapshots hold years of four digits only.
        CONSTRAINT a_time_can_be_replayed CHECK (recorded_at >= '0001-01-01 00:00:00+00'
            AND recorded_at < '10000-01-01 00:00:00+00'),
        -- Content has a salt. Erased content keeps its field names, loses the salt, and has a commitment.
        CONSTRAINT content_is_salted_or_erased CHECK (num_nonnulls(salt, commitment) = num_nonnulls(content))
    ) PARTITION BY RANGE (entry);

    -- The last number is the end of a partition, and fits into the 48 bits in which allocate_entry() shows a number
    -- (EntryNumber.last in Swift). With CACHE 1, and after the first number is spent here, the sequence's last value is
    -- the last allocated number, and every number allocated later is greater. In a fresh sequence, 1 may mean "none
    -- yet".
    CREATE SEQUENCE ledger.entry_sequence AS bigint MAXVALUE 199999999999999 CACHE 1 NO CYCLE;
    PERFORM nextval('ledger.entry_sequence');

    -- Idempotency keys: the same request under the same key gets the first answer again. The command's id is a UUID of
    -- version 5 that is made from the key. Commands without a key have other ids, and no row here.
    CREATE TABLE ledger.idempotency_keys (
        command uuid NOT NULL,
        entry bigint NOT NULL,
        digest bytea,  -- of the request: another request under the same key is refused
        result json,
        recorded_at timestamptz NOT NULL,
        CONSTRAINT idempotency_keys_pkey PRIMARY KEY (command),
        CONSTRAINT a_key_is_from_outside CHECK (substr(command::text, 15, 1) = '5')
    );

    -- Seals and recorded roots. A seal says that every entry up to its own is committed or never will be. Its size is
    -- the number of events up to there, which shows when an event at the end of a stream is missing. A push that has
    -- hashed these events adds a second row of the same entry, with root and frontier. The table is append-only.
    CREATE TABLE ledger.checkpoints (
        entry bigint NOT NULL,
        sealed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        size bigint,
        root bytea,
        frontier bytea,
        note text,
        recorded_in text,  -- the server's run (ledger.server_run) and the transaction in which a push recorded the root
        CONSTRAINT a_seal_is_of_an_entry CHECK (entry BETWEEN 0 AND 199999999999999),
        CONSTRAINT a_root_is_sha256 CHECK (octet_length(root) = 32),
        CONSTRAINT a_root_has_its_tree
            CHECK ((root IS NULL) = (frontier IS NULL) AND (root IS NULL OR size IS NOT NULL))
    );
    CREATE UNIQUE INDEX checkpoints_entry_idx ON ledger.checkpoints (entry, (root IS NULL));

    -- Tombstones keep the last version of every row that was removed or archived. A row that is inserted again
    -- continues from that version. The dedupe key of an archived row still refuses duplicates.
    CREATE TABLE ledger.tombstones (
        stream uuid NOT NULL,
        row_type text NOT NULL,
        version integer NOT NULL,
        dedupe_key text,
        CONSTRAINT tombstones_pkey PRIMARY KEY (stream)
    );
    CREATE INDEX tombstones_dedupe_idx ON ledger.tombstones (row_type, dedupe_key)
        WHERE dedupe_key IS NOT NULL;

    -- The instance mark (ledger.current_mark) of the database that may record, as the sequence's last value. A copy, an
    -- old backup put back, or a promoted standby has another mark, and is detected before it allocates numbers that
    -- another history has. It is a sequence because allocate_entry() reads a sequence without a query, and because a
    -- new value holds for all sessions at once. Never set: no database may record yet, and the first one that records
    -- sets it. 0: a push saw that the store has entries that this database lacks.
    CREATE SEQUENCE ledger.instance_mark AS bigint
        MINVALUE -9223372036854775808 MAXVALUE 9223372036854775807 START 0 NO CYCLE;

    -- Each backend keeps its own mark here, as the sequence's current value (ledger.require_instance).
    CREATE UNLOGGED SEQUENCE ledger.session_mark AS bigint
        MINVALUE -9223372036854775808 MAXVALUE 9223372036854775807 START 0 NO CYCLE;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0004_log.sql', '0.1.0');
END $migration$;
