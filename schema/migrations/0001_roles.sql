-- The roles. guards/grants.sql says what each of them owns and may do.
--
-- Apply    cat schema/migrations/*.sql schema/functions/*/*.sql schema/views/*.sql schema/guards/*.sql |
--              psql -1 -v ON_ERROR_STOP=1
--          on a database of PostgreSQL 15 or newer, as a superuser, in the C order of the file names, in one
--          transaction. Applying the files again changes nothing. `opsledger init` applies the same files in the same
--          order, and then records `ledger.created` and the seeded policies as events.
-- Rules    Each migration runs once, and is never edited after the first release. It names the oldest binary that can
--          use it. The files of functions, views and guards are applied each time, and replace what is there.
-- Headers  say what the definition does not. Without a line `Locks`, a function takes no lock that others wait for.
-- Locks    pg_event_trigger, to the end of the transaction, so that a database has one schema change at a time. That
--          table always exists, and only superusers may lock it in this mode.

-- These settings last to the end of the transaction. Names are PostgreSQL's own or have their schema, so objects of
-- others in schema public change nothing. No setting of the database or of the role changes or ends the transaction.
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL standard_conforming_strings = on;
SET LOCAL statement_timeout = 0;
SET LOCAL default_tablespace = '';
SET LOCAL default_table_access_method = heap;
SET LOCAL quote_all_identifiers = off;
SET LOCAL array_nulls = on;
SET LOCAL transform_null_equals = off;
SET LOCAL check_function_bodies = on;

DO $$ BEGIN
    IF current_setting('server_version_num')::integer < 150000 THEN
        RAISE EXCEPTION 'OPS_014: the server runs PostgreSQL %, and opsledger needs version 15 or newer',
            current_setting('server_version');
    ELSIF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'OPS_014: the encoding of database % is %, and opsledger needs UTF8', current_database(),
            current_setting('server_encoding')
            -- The text is ASCII, which every encoding can show.
            USING HINT = 'Create another database: CREATE DATABASE ops ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
    -- Only a superuser can set another value.
    IF current_setting('session_replication_role') <> 'origin' THEN
        SET LOCAL session_replication_role = origin;
    END IF;
END $$;

LOCK TABLE pg_catalog.pg_event_trigger IN SHARE UPDATE EXCLUSIVE MODE;

-- Schema `ledger` is frozen (guards/frozen_ddl.sql). If it exists, this transaction gets a permit to change it.
-- guards/permit_ends.sql takes the permit back.
DO $$ BEGIN
    IF to_regclass('ledger.ddl_permits') IS NOT NULL THEN
        INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- The event triggers are switched off meanwhile: an altered one could refuse the schema. guards/frozen_ddl.sql creates
-- them again.
DO $$
DECLARE
    guard record;
BEGIN
    FOR guard IN SELECT e.evtname AS name FROM pg_event_trigger AS e
        JOIN pg_proc AS p ON p.oid = e.evtfoid
        WHERE p.pronamespace = to_regnamespace('ledger_guard') OR e.evtname LIKE 'opsledger\_%' LOOP
        EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', guard.name);
    END LOOP;
END $$;

-- owner     owns schema ledger and the log
-- tables    owns the eight tables, and may create objects in schema public. Its members are trusted like the engine.
-- engine    the role of the program's login
-- operator  reads everything, and writes the eight tables by SQL
-- auditor   reads everything, and writes nothing
-- repair    the repair role: rebuild and restore take it by SET LOCAL ROLE, for one transaction each
-- may_repair  the role that may become the repair role. It is NOINHERIT, so that the engine's login has the rights of
--           the repair role only between SET LOCAL ROLE and the end of that transaction.
-- writer    ledger.append_agent_event runs as this role, which has no members. Capture skips the rows that it inserts,
--           because that function writes a row together with its event.
--
-- The predecessor's clients and the runbook's row-level policies name two more roles, which a cluster may already have:
-- service_role  the login of the predecessor's clients, an operator
-- anon          has no rights
--
-- Roles belong to the cluster. If two databases are initialized at once, the slower one takes the roles that exist.
DO $$
DECLARE
    role text;
    holder text;
    inherit text;
BEGIN
    FOREACH role IN ARRAY ARRAY['opsledger_owner', 'opsledger_tables', 'opsledger_engine',
        'opsledger_operator', 'opsledger_auditor', 'opsledger_repair', 'opsledger_may_repair', 'opsledger_writer',
        'service_role', 'anon'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role);
        inherit := CASE role WHEN 'opsledger_may_repair' THEN 'NOINHERIT' ELSE 'INHERIT' END;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE %s',
                role, inherit);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;

    FOR holder, role IN VALUES
        ('opsledger_owner', 'opsledger_tables'),
        ('opsledger_engine', 'opsledger_tables'),
        ('opsledger_repair', 'opsledger_tables'),
        ('opsledger_may_repair', 'opsledger_repair'),
        ('opsledger_engine', 'opsledger_may_repair'),
        ('opsledger_writer', 'opsledger_tables'),  -- so that row-level policies hide nothing from it
        ('service_role', 'opsledger_operator')
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_auth_members AS m
            WHERE m.roleid = to_regrole(role) AND m.member = to_regrole(holder));
        BEGIN
            EXECUTE format('GRANT %I TO %I', role, holder);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;
