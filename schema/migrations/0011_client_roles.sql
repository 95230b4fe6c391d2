-- The roles that the origin's clients and the runbook's row-level policies name, where there are none: a hosted
-- database brings its own.
--
-- service_role  what the origin's clients log in as: an operator
-- anon          nobody in particular: nothing
--
-- Locks    none. Roles belong to the cluster: made on each laying where they are missing, as 0001's are.
-- Used by  the runbook's access control; guards/grants.sql.

DO $migration$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['service_role', 'anon'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- Another database of this cluster was quicker.
        END;
    END LOOP;
    IF NOT pg_has_role('service_role', 'opsledger_operator', 'MEMBER') THEN
        BEGIN
            GRANT opsledger_operator TO service_role;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0011_client_roles.sql', '0.1.0')
    ON CONFLICT (name) DO NOTHING;
END $migration$;
