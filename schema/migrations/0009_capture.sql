-- Where capture keeps what a hand's transaction changed, until its commit makes one entry of it.
--
-- Unlogged: what a crash loses belongs to transactions that it ended. Emptied by each transaction that
-- fills it; what several statements changed lies here until the last lock of the transaction is taken.
--
-- Locks    none that others wait for.
-- Used by  capture (functions/capture_*.sql), draw.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0009_capture.sql') THEN
        RETURN;
    END IF;

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

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0009_capture.sql', '0.1.0');
END $migration$;
