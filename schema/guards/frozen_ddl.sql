-- Schema ledger is frozen, and capture stays on the eight tables: event triggers refuse DDL on the one, and
-- what would let a change pass the other, without a permit (ledger.ddl_permits).
--
-- They need a superuser, once, and stay with that superuser: no role of ours can disable them. ENABLE
-- ALWAYS, so that session_replication_role switches nothing off. Commands on event triggers fire none,
-- so a superuser can switch them off: checkpoints kept elsewhere are for that.
DO $$
DECLARE
    name text;
    definition text;
BEGIN
    FOR name, definition IN VALUES
        ('opsledger_frozen_start', 'ON ddl_command_start '
            'WHEN TAG IN (''ALTER TABLE'', ''CREATE INDEX'', ''DROP INDEX'') '
            'EXECUTE FUNCTION ledger_guard.refuse_concurrent_ddl()'),
        ('opsledger_frozen_ddl', 'ON ddl_command_end EXECUTE FUNCTION ledger_guard.refuse_ddl()'),
        ('opsledger_frozen_drop', 'ON sql_drop EXECUTE FUNCTION ledger_guard.refuse_drop()'),
        ('opsledger_tables_ddl', 'ON ddl_command_end WHEN TAG IN (''ALTER TABLE'', ''CREATE TABLE'', '
            '''CREATE FOREIGN TABLE'', ''ALTER FOREIGN TABLE'', ''ALTER INDEX'', ''CREATE TRIGGER'', '
            '''ALTER TRIGGER'', ''CREATE RULE'', ''ALTER RULE'', ''ALTER TYPE'') '
            'EXECUTE FUNCTION ledger_guard.guard_tables()'),
        ('opsledger_tables_drop', 'ON sql_drop EXECUTE FUNCTION ledger_guard.guard_tables()'),
        ('opsledger_tables_rewrite',
            'ON table_rewrite EXECUTE FUNCTION ledger_guard.guard_rewrite()')
    LOOP
        -- Laid by a release that did not know that ALTER INDEX renames tables, too.
        IF name = 'opsledger_tables_ddl' AND EXISTS (SELECT FROM pg_event_trigger AS e
                WHERE e.evtname = name AND NOT 'ALTER INDEX' = ANY (e.evttags)) THEN
            EXECUTE format('DROP EVENT TRIGGER %I', name);
        END IF;
        IF NOT EXISTS (SELECT FROM pg_event_trigger AS e WHERE e.evtname = name) THEN
            EXECUTE format('CREATE EVENT TRIGGER %I ', name) || definition;
        END IF;
        IF EXISTS (SELECT FROM pg_event_trigger AS e
                   WHERE e.evtname = name AND e.evtenabled <> 'A') THEN
            EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', name);
        END IF;
    END LOOP;
END $$;
