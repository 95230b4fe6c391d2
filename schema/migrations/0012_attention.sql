-- What hands decided, for the loop to go on from: proposals and steps whose rows a hand changed.
--
-- A list of things to look at, no history: capture adds to it in the hand's own transaction, a heartbeat
-- looks at the rows as they then are and takes them off. Looking at one twice does no harm.
--
-- Locks    none that others wait for.
-- Used by  capture_move, heartbeat.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0012_attention.sql') THEN
        RETURN;
    END IF;

    CREATE TABLE ledger.attention (
        stream uuid NOT NULL,
        noun text NOT NULL,
        mark bigint NOT NULL,  -- greater with each change
        is_new boolean NOT NULL,  -- put in, and not just changed: what belongs to it may follow
        noted_at timestamptz NOT NULL,
        CONSTRAINT attention_pkey PRIMARY KEY (stream)
    );
    ALTER TABLE ledger.attention OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0012_attention.sql', '0.1.0');
END $migration$;
