-- Schema ledger is frozen, and capture stays on the eight tables: event triggers refuse DDL on the one, and
-- what would let a change pass the other, without a permit (ledger.ddl_permits).
--
-- They need a superuser, once, and stay with that superuser: no role of ours can disable them. ENABLE
-- ALWAYS, so that session_replication_role switches nothing off. Commands on event triggers fire none,
-- so a superuser can switch them off: checkpoints kept elsewhere are for that.
--
-- Made anew each time, whatever is there under their names: a trigger that was altered says nothing of it.
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
        -- Without a filter: CREATE SCHEMA makes tables, too, and ALTER INDEX renames them.
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
