-- The events that capture stages until a transaction commits, and the follow-ups that it leaves for the loop.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0005_capture.sql') THEN
        RETURN;
    END IF;

    -- The manual changes of open transactions. At commit, after the last row lock of the transaction, its changes
    -- become one entry, and its rows here are deleted. The table is unlogged: the rows that a crash loses belong to
    -- transactions that the crash aborted.
    CREATE UNLOGGED TABLE ledger.pending (
        seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
        tx xid8 NOT NULL,
        kind text NOT NULL,  -- manual_change, repair: one row that queues the check at commit (capture_move); event
        stream uuid,         -- from here: the columns of ledger.events
        version integer,
        type text,
        data text,
        content text,
        CONSTRAINT pending_pkey PRIMARY KEY (tx, seq)
    );

    -- Follow-ups: the proposals, and the missions of steps, that a manual change touched. Capture adds them in the
    -- transaction of the change. A heartbeat looks at the rows as they are then, continues from them, and deletes the
    -- follow-ups. A second look does no harm.
    CREATE TABLE ledger.follow_ups (
        stream uuid NOT NULL,
        row_type text NOT NULL,
        mark bigint NOT NULL,  -- greater with each change
        is_new boolean NOT NULL,  -- inserted: rows that belong to it may follow
        noted_at timestamptz NOT NULL,
        CONSTRAINT follow_ups_pkey PRIMARY KEY (stream)
    );

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0005_capture.sql', '0.1.0');
END $migration$;
