-- Checkpoints with a Merkle root are rows of their own: a seal says how far the log can no longer change, and is
-- never changed itself; whoever has hashed the events up to it (push) adds a row of the same entry with size,
-- root and frontier. `noted_in` names the run of the server and the transaction in which a push noted it (ledger.server_run).
--
-- Locks    ACCESS EXCLUSIVE on ledger.checkpoints, for a moment.
-- Used by  seal, push, restore.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0014_roots.sql') THEN
        RETURN;
    END IF;

    ALTER TABLE ledger.checkpoints DROP CONSTRAINT checkpoints_pkey;
    ALTER TABLE ledger.checkpoints ADD COLUMN noted_in text;
    CREATE UNIQUE INDEX checkpoints_entry_idx ON ledger.checkpoints (entry, (root IS NULL));
    ALTER TABLE ledger.checkpoints ADD CONSTRAINT a_root_has_its_tree
        CHECK ((root IS NULL) = (frontier IS NULL) AND (root IS NULL OR size IS NOT NULL));

    -- How far each store's pushes have hashed again what was pushed before: a place to go on from, and no more. A crash
    -- of the server empties it, and the next push begins at the log's first event.
    CREATE UNLOGGED TABLE ledger.rechecks (
        store text NOT NULL,
        entry bigint NOT NULL,
        frontier bytea NOT NULL,
        at timestamptz NOT NULL,
        CONSTRAINT rechecks_pkey PRIMARY KEY (store)
    );
    ALTER TABLE ledger.rechecks OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0014_roots.sql', '0.1.0');
END $migration$;
