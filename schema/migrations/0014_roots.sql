-- Checkpoints with a Merkle root are rows of their own: a seal says how far the log can no longer change, and is
-- never changed itself; whoever has hashed the events up to it (push) adds a row of the same entry with size,
-- root and frontier.
--
-- Locks    ACCESS EXCLUSIVE on ledger.checkpoints, for a moment.
-- Used by  seal, push, restore.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0014_roots.sql') THEN
        RETURN;
    END IF;

    ALTER TABLE ledger.checkpoints DROP CONSTRAINT checkpoints_pkey;
    CREATE UNIQUE INDEX checkpoints_entry_idx ON ledger.checkpoints (entry, (root IS NULL));
    ALTER TABLE ledger.checkpoints ADD CONSTRAINT a_root_has_its_tree
        CHECK ((root IS NULL) = (size IS NULL) AND (root IS NULL) = (frontier IS NULL));

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0014_roots.sql', '0.1.0');
END $migration$;
