-- The roles, from the first day: who may do what is written once and here.
--
-- Apply    cat schema/migrations/*.sql schema/functions/*/*.sql schema/views/*.sql schema/guards/*.sql |
--              psql -1 -v ON_ERROR_STOP=1
--          on a database of PostgreSQL 15 or newer, as a superuser, in the C order of the file names.
--          One transaction. SchemaApplication it again changes nothing. `opsledger init` lays the same files in
--          the same order and then records `ledger.created` and the seeded policies as events.
-- Rules    migrations run once each and are never edited once merged; functions, views and guards are
--          current files that replace what is there. A migration names the oldest binary it serves.
-- Locks    pg_event_trigger, to the end of the transaction: one schema change at a time a database. It is a table
--          that is always there, and only superusers may lock it so.
-- Used by  every other file. Roles belong to the cluster, and two of its databases may be laid at the
--          same time, so whoever loses that race takes the role that is there.

-- To the end of the transaction: names are PostgreSQL's own or have their schema, whatever others have laid in schema
-- public, and no setting of the database or of the role changes what is laid, or ends it.
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
        RAISE EXCEPTION 'OPS_014: the server is PostgreSQL %, and the ledger needs 15 or newer',
            current_setting('server_version');
    ELSIF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'OPS_014: the encoding of database % is %, and the ledger keeps text as UTF-8', current_database(),
            current_setting('server_encoding')
            -- In ASCII, so that any encoding can say it.
            USING HINT = 'Make a database for it: CREATE DATABASE ops ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
    -- Of a superuser only; others cannot have it otherwise.
    IF current_setting('session_replication_role') <> 'origin' THEN
        SET LOCAL session_replication_role = origin;
    END IF;
END $$;

LOCK TABLE pg_catalog.pg_event_trigger IN SHARE UPDATE EXCLUSIVE MODE;

-- Schema `ledger` is frozen (guards/frozen_ddl.sql): where it exists already, say that this
-- transaction may change it. guards/permit_ends.sql takes the permit back.
DO $$ BEGIN
    IF to_regclass('ledger.ddl_permits') IS NOT NULL THEN
        INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- The guards rest meanwhile, since whatever stands in their place now could refuse to be laid again
-- (guards/frozen_ddl.sql makes them anew).
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
-- tables    owns the eight tables, may create in public; who owns tables is trusted like the engine
-- engine    what the binary's login is a member of
-- operator  reads everything, writes the eight tables by SQL
-- auditor   reads everything, writes nothing
-- keeper    repairs: rebuild and restore, one transaction at a time, by SET LOCAL ROLE
-- repair    the way from engine to keeper: NOINHERIT, so that the engine's login has the keeper's
--           rights only while it says that it is the keeper
-- writer    ledger.append_agent_event runs as this role, and nobody is a member: capture passes over the rows
--           that it inserts, since the function writes a row and its event in one
--
-- And the roles that the origin's clients and the runbook's row-level policies name, where the cluster has none:
-- service_role  what the origin's clients log in as: an operator
-- anon          has no rights
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
            NULL;  -- Another database of this cluster was quicker.
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
