-- What capture keeps until a transaction commits, and what it leaves for the loop.
--
-- Locks    none that others wait for.
-- Used by  capture (functions/capture_*.sql), draw, heartbeat.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0005_capture.sql') THEN
        RETURN;
    END IF;

    -- What a transaction changed by SQL, until its commit makes one entry of it: what several statements changed lies
    -- here until the last lock of the transaction is taken. Each transaction empties what it filled. Unlogged: what a
    -- crash loses belongs to transactions that it ended.
    CREATE UNLOGGED TABLE ledger.pending (
        seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
        tx xid8 NOT NULL,
        kind text NOT NULL,  -- hand: a transaction's first row, which queues the move; keeper: likewise; event
        stream uuid,         -- and then the columns of ledger.events, for an event
        version integer,
        type text,
        data text,
        content text,
        CONSTRAINT pending_pkey PRIMARY KEY (tx, seq)
    );
    ALTER TABLE ledger.pending OWNER TO opsledger_owner;

    -- The proposals and steps whose rows SQL changed, for the loop to go on from. Capture adds to this list in the
    -- transaction of the change; a heartbeat looks at the rows as they then are and takes them off. Looking at one twice
    -- does no harm.
    CREATE TABLE ledger.follow_ups (
        stream uuid NOT NULL,
        row_type text NOT NULL,
        mark bigint NOT NULL,  -- greater with each change
        is_new boolean NOT NULL,  -- put in, and not just changed: what belongs to it may follow
        noted_at timestamptz NOT NULL,
        CONSTRAINT follow_ups_pkey PRIMARY KEY (stream)
    );
    ALTER TABLE ledger.follow_ups OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0005_capture.sql', '0.1.0');
END $migration$;
