-- Holds: what must not leave, whatever the retention rule says. A projection like the eight, which no hand writes.
--
-- Locks    none that others wait for.
-- Used by  hold place|list|release; retention.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0016_holds.sql') THEN
        RETURN;
    END IF;

    CREATE TABLE ledger.holds (
        id uuid NOT NULL,
        mission_id uuid,  -- one mission; no foreign key, since it may be archived already
        source text,      -- or: an agent event of this source led to it, or is its own
        from_time timestamptz,   -- or: it was open at any moment of this time
        until_time timestamptz,
        why text,
        placed_by text NOT NULL,
        placed_at timestamptz NOT NULL,
        released_at timestamptz,
        version integer NOT NULL DEFAULT 0,
        CONSTRAINT holds_pkey PRIMARY KEY (id)
    );
    ALTER TABLE ledger.holds OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0016_holds.sql', '0.1.0');
END $migration$;
