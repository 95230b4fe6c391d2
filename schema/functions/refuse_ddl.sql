-- ledger_guard.refuse_ddl: schema ledger is frozen, except for transactions that hold a permit.
--
-- Refuses  any DDL on the schema or on what is in it; on what opsledger_owner owns, wherever it went
--          (ALTER … SET SCHEMA); triggers, rules, policies, defaults, statistics and indexes on such a
--          table; tables that inherit from one, are partitions of one or refer to one by a foreign key.
-- Returns  nothing: raises 42501.
-- Locks    none.
-- Used by  event trigger opsledger_frozen_ddl. In schema ledger_guard, so that DROP SCHEMA ledger CASCADE
--          does not take its own guard along before that can refuse. As its owner, the installing superuser: whoever runs
--          DDL may not read the permits. Unrelated DDL costs one look at what it touched.
CREATE OR REPLACE FUNCTION ledger_guard.refuse_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched record;
BEGIN
    FOR touched IN
        SELECT d.command_tag, d.schema_name, d.object_identity, d.classid, d.objid,
            CASE d.classid
                WHEN 'pg_class'::regclass THEN d.objid
                WHEN 'pg_rewrite'::regclass THEN
                    (SELECT r.ev_class FROM pg_rewrite AS r WHERE r.oid = d.objid)
                WHEN 'pg_trigger'::regclass THEN
                    (SELECT t.tgrelid FROM pg_trigger AS t WHERE t.oid = d.objid)
                WHEN 'pg_policy'::regclass THEN
                    (SELECT p.polrelid FROM pg_policy AS p WHERE p.oid = d.objid)
                WHEN 'pg_constraint'::regclass THEN
                    (SELECT c.conrelid FROM pg_constraint AS c WHERE c.oid = d.objid)
                WHEN 'pg_attrdef'::regclass THEN
                    (SELECT a.adrelid FROM pg_attrdef AS a WHERE a.oid = d.objid)
                WHEN 'pg_statistic_ext'::regclass THEN
                    (SELECT s.stxrelid FROM pg_statistic_ext AS s WHERE s.oid = d.objid)
            END AS relation
        FROM pg_event_trigger_ddl_commands() AS d
        WHERE d.objid IS NOT NULL  -- GRANT and the like name no object, and change no content.
    LOOP
        IF touched.schema_name IN ('ledger', 'ledger_guard')
            OR touched.relation IS NOT NULL AND ledger_guard.is_frozen(touched.relation)
            OR touched.classid = 'pg_namespace'::regclass AND EXISTS (
                SELECT FROM pg_namespace AS n WHERE n.oid = touched.objid
                AND (n.nspname IN ('ledger', 'ledger_guard') OR n.nspowner = to_regrole('opsledger_owner')))
            OR touched.classid = 'pg_proc'::regclass AND EXISTS (
                SELECT FROM pg_proc AS p
                WHERE p.oid = touched.objid AND p.proowner = to_regrole('opsledger_owner'))
        THEN
            PERFORM ledger_guard.refuse_without_permit(touched.command_tag, touched.object_identity);
        END IF;
    END LOOP;
END
$$;

-- Whether a relation is the ledger's: in its schema, its owner's, or tied to one that is.
CREATE OR REPLACE FUNCTION ledger_guard.is_frozen(relation oid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM pg_class AS c
        WHERE (c.relnamespace = to_regnamespace('ledger') OR c.relowner = to_regrole('opsledger_owner'))
          AND (c.oid = relation
               OR c.oid IN (SELECT i.inhparent FROM pg_inherits AS i WHERE i.inhrelid = relation)
               OR c.oid IN (SELECT f.confrelid FROM pg_constraint AS f WHERE f.conrelid = relation)))
$$;

CREATE OR REPLACE FUNCTION ledger_guard.refuse_without_permit(command text, object text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    permitted boolean := false;
BEGIN
    -- Without the table (this very command may have dropped it) there is no permit.
    IF to_regclass('ledger.ddl_permits') IS NOT NULL THEN
        permitted := EXISTS (
            SELECT FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id());
    END IF;
    IF NOT permitted THEN
        RAISE EXCEPTION 'schema ledger is frozen: % refused on %', command, coalesce(object, 'it')
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'Only `opsledger init` and the files in schema/ change it, under a permit.';
    END IF;
END
$$;
