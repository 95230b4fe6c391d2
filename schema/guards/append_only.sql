-- The log, the checkpoints and what is known of the log that left are append-only: triggers, on top of the privileges that nobody has.
--
-- Kept twice on each table: by statement (also TRUNCATE, also of no row at all), and by row for
-- logical replication, whose workers fire no statement triggers. ENABLE ALWAYS, so that
-- session_replication_role switches nothing off. Row triggers of the log come to its partitions by
-- ATTACH; statement triggers do not, so each partition has its own, here and in ledger.add_partitions.
--
-- Locks    SHARE ROW EXCLUSIVE on a table that lacks a trigger; none where all is in force, so that
--          laying the schema again does not queue appends.
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
