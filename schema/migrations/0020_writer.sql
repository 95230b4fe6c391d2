-- opsledger_writer: whom ledger.append_report runs as, and nobody else.
--
-- Capture passes by what that function puts in, since it writes a report and its event in one; so nobody is a
-- member. Of opsledger_tables, so that row-level policies hide nothing from it.
--
-- Locks    none that others wait for.
-- Used by  functions/append_report.sql, guards/grants.sql.

DO $migration$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = 'opsledger_writer') THEN
        BEGIN
            CREATE ROLE opsledger_writer NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- Another database of this cluster was quicker.
        END;
    END IF;
    IF NOT pg_has_role('opsledger_writer', 'opsledger_tables', 'MEMBER') THEN
        BEGIN
            GRANT opsledger_tables TO opsledger_writer;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0020_writer.sql', '0.1.0')
    ON CONFLICT (name) DO NOTHING;
END $migration$;
