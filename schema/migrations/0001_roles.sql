-- The roles, from the first day: who may do what is written once and here.
--
-- Apply    cat schema/migrations/*.sql schema/functions/*.sql schema/views/*.sql schema/guards/*.sql |
--              psql -1 -v ON_ERROR_STOP=1
--          on a database of PostgreSQL 15 or newer, as a superuser, in the C order of the file names.
--          One transaction. Laying it again changes nothing. `opsledger init` lays the same files in
--          the same order and then records `ledger.created` and the seeded policies as events.
-- Rules    migrations run once each and are never edited once merged; functions, views and guards are
--          current files that replace what is there. A migration names the oldest binary it serves.
-- Locks    advisory (19796, 1), to the end of the transaction: one schema change at a time a database.
-- Used by  every other file. Roles belong to the cluster, and two of its databases may be laid at the
--          same time, so whoever loses that race takes the role that is there.

DO $$ BEGIN PERFORM pg_advisory_xact_lock(19796, 1); END $$;

-- Schema `ledger` is frozen (guards/frozen_ddl.sql): where it exists already, say that this
-- transaction may change it. guards/permit_ends.sql takes the permit back.
DO $$ BEGIN
    IF to_regclass('ledger.ddl_permits') IS NOT NULL THEN
        INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- owner     owns schema ledger and the log
-- tables    owns the eight tables, may create in public; who owns tables is trusted like the engine
-- engine    what the binary's login is a member of
-- operator  reads everything, writes the eight tables by SQL
-- auditor   reads everything, writes nothing
-- keeper    repairs: rebuild and restore, one transaction at a time, by SET LOCAL ROLE
-- repair    the way from engine to keeper: NOINHERIT, so that the engine's login has the keeper's
--           rights only while it says that it is the keeper
DO $$
DECLARE
    role text;
    holder text;
    inherit text;
BEGIN
    FOREACH role IN ARRAY ARRAY['opsledger_owner', 'opsledger_tables', 'opsledger_engine',
        'opsledger_operator', 'opsledger_auditor', 'opsledger_keeper', 'opsledger_repair'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role);
        inherit := CASE role WHEN 'opsledger_repair' THEN 'NOINHERIT' ELSE 'INHERIT' END;
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
        ('opsledger_keeper', 'opsledger_tables'),
        ('opsledger_repair', 'opsledger_keeper'),
        ('opsledger_engine', 'opsledger_repair')
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
