-- The event triggers that freeze schema ledger and keep capture on the eight tables. Without a permit
-- (ledger.ddl_permits), they refuse DDL in schema ledger, and DDL that would let a change pass capture.
--
-- The installing superuser creates and owns them, so no role of opsledger can disable them. They are ENABLE ALWAYS, so
-- that session_replication_role does not switch them off. Commands on event triggers fire no event triggers, so a
-- superuser can switch them off. Against that, keep checkpoints outside of the database.
--
-- They are created again each time, because the catalogue does not show whether an event trigger was altered.
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
        -- Without a filter, because CREATE SCHEMA can create tables, and ALTER INDEX can rename them.
        ('opsledger_tables_ddl', 'ON ddl_command_end EXECUTE FUNCTION ledger_guard.guard_tables()'),
        ('opsledger_tables_drop', 'ON sql_drop EXECUTE FUNCTION ledger_guard.guard_tables()'),
        ('opsledger_tables_rewrite',
            'ON table_rewrite EXECUTE FUNCTION ledger_guard.guard_rewrite()')
    LOOP
        EXECUTE format('DROP EVENT TRIGGER IF EXISTS %I', name);
        EXECUTE format('CREATE EVENT TRIGGER %I ', name) || definition;
        EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', name);
    END LOOP;
END $$;
