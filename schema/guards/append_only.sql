-- The triggers that keep the log, the checkpoints, and the records of archived partitions append-only. Nobody has the
-- privileges to change these tables either.
--
-- Each table has two triggers. The statement trigger also refuses TRUNCATE, and statements that match no row. The row
-- trigger is for logical replication, whose workers fire no statement triggers. Both are ENABLE ALWAYS, so that
-- session_replication_role does not switch them off. ATTACH gives a partition the row triggers of the log, but not the
-- statement triggers, so each partition gets its own, here and in ledger.add_partitions.
--
-- Locks    SHARE ROW EXCLUSIVE on a table that lacks a trigger. Otherwise none, so that applying the schema again does
--          not delay appends.
DO $$
DECLARE
    target regclass;
    name text;
    level text;
BEGIN
    FOR target IN
        SELECT 'ledger.events'::regclass
        UNION ALL SELECT 'ledger.checkpoints'
        UNION ALL SELECT 'ledger.archived_partitions'
        UNION ALL SELECT 'ledger.kept_events'
        UNION ALL SELECT i.inhrelid FROM pg_inherits AS i
        WHERE i.inhparent = 'ledger.events'::regclass
    LOOP
        FOR name, level IN VALUES
            ('append_only', 'UPDATE OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT'),
            ('append_only_rows', 'UPDATE OR DELETE ON %s FOR EACH ROW')
        LOOP
            IF NOT EXISTS (SELECT FROM pg_trigger AS t
                           WHERE t.tgrelid = target AND t.tgname = name) THEN
                EXECUTE format('CREATE TRIGGER %I BEFORE ', name) || format(level, target)
                    || ' EXECUTE FUNCTION ledger.refuse_change()';
            END IF;
            IF EXISTS (SELECT FROM pg_trigger AS t
                       WHERE t.tgrelid = target AND t.tgname = name AND t.tgenabled <> 'A') THEN
                EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', target, name);
            END IF;
        END LOOP;
    END LOOP;
END $$;
