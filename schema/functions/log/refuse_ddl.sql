-- ledger_guard.refuse_ddl: refuses DDL on schema ledger in a transaction without a permit.
--
-- Refuses  DDL on the schemas ledger and ledger_guard, and on objects in them; on objects of opsledger_owner in any
--          schema (ALTER … SET SCHEMA); triggers, rules, policies, defaults, statistics and indexes on such a table;
--          tables that inherit from one, are a partition of one, or have a foreign key to one; and DROP OWNED that
--          takes all rights of a role of opsledger.
-- Raises   42501.
-- Used by  event trigger opsledger_frozen_ddl. It is in schema ledger_guard, so that DROP SCHEMA ledger CASCADE does
--          not drop it before it can refuse. It runs as its owner, the installing superuser, because other roles may
--          not read the permits. It adds about 0.1 ms to other DDL.
CREATE OR REPLACE FUNCTION ledger_guard.refuse_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    touched record;
    relation oid;
    frozen boolean;
BEGIN
    IF TG_TAG IN ('DROP OWNED', 'REASSIGN OWNED') AND ledger_guard.is_disowned() THEN
        PERFORM ledger_guard.refuse_without_permit(TG_TAG, 'what the roles of opsledger own or may do');
    END IF;
    FOR touched IN
        SELECT d.command_tag, d.schema_name, d.object_identity, d.classid, d.objid
        FROM pg_event_trigger_ddl_commands() AS d
        WHERE d.objid IS NOT NULL  -- GRANT and similar commands list no object, and change no content.
    LOOP
        relation := NULL;
        frozen := touched.schema_name IN ('ledger', 'ledger_guard');
        CASE touched.classid
            WHEN 'pg_class'::regclass THEN
                relation := touched.objid;
            WHEN 'pg_rewrite'::regclass THEN
                relation := (SELECT r.ev_class FROM pg_rewrite AS r WHERE r.oid = touched.objid);
            WHEN 'pg_trigger'::regclass THEN
                relation := (SELECT t.tgrelid FROM pg_trigger AS t WHERE t.oid = touched.objid);
            WHEN 'pg_policy'::regclass THEN
                relation := (SELECT p.polrelid FROM pg_policy AS p WHERE p.oid = touched.objid);
            WHEN 'pg_constraint'::regclass THEN
                relation := (SELECT c.conrelid FROM pg_constraint AS c WHERE c.oid = touched.objid);
            WHEN 'pg_statistic_ext'::regclass THEN
                relation := (SELECT s.stxrelid FROM pg_statistic_ext AS s WHERE s.oid = touched.objid);
            WHEN 'pg_namespace'::regclass THEN
                frozen := EXISTS (
                    SELECT FROM pg_namespace AS n
                    WHERE n.oid = touched.objid
                      AND (n.nspname IN ('ledger', 'ledger_guard')
                           OR n.nspowner = to_regrole('opsledger_owner')));
            WHEN 'pg_proc'::regclass THEN
                frozen := frozen OR EXISTS (
                    SELECT FROM pg_proc AS p
                    WHERE p.oid = touched.objid AND p.proowner = to_regrole('opsledger_owner'));
            ELSE
                NULL;
        END CASE;
        IF frozen OR relation IS NOT NULL AND ledger_guard.is_frozen(relation) THEN
            PERFORM ledger_guard.refuse_without_permit(touched.command_tag, touched.object_identity);
        END IF;
    END LOOP;
END
$$;

-- Whether opsledger_owner has lost the log, or a role its rights to schema ledger: DROP OWNED takes all rights of a
-- role.
CREATE OR REPLACE FUNCTION ledger_guard.is_disowned() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM pg_class AS c
            WHERE c.oid = to_regclass('ledger.events') AND c.relowner = to_regrole('opsledger_owner'))
        OR EXISTS (
            SELECT FROM unnest(ARRAY['opsledger_tables', 'opsledger_engine', 'opsledger_operator',
                'opsledger_auditor', 'opsledger_repair', 'opsledger_writer']) AS r (name)
            WHERE NOT EXISTS (SELECT FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
                WHERE n.nspname = 'ledger' AND a.grantee = to_regrole(r.name)))
$$;

-- Whether a relation is in schema ledger or belongs to opsledger_owner, or inherits from or refers to such a relation.
CREATE OR REPLACE FUNCTION ledger_guard.is_frozen(relation oid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.oid = ANY (relation
                || ARRAY(SELECT i.inhparent FROM pg_inherits AS i WHERE i.inhrelid = relation)
                || ARRAY(SELECT f.confrelid FROM pg_constraint AS f WHERE f.conrelid = relation))
          AND (c.relnamespace = to_regnamespace('ledger') OR c.relowner = to_regrole('opsledger_owner')));
END
$$;

CREATE OR REPLACE FUNCTION ledger_guard.refuse_without_permit(command text, object text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT ledger_guard.is_permitted() THEN
        RAISE EXCEPTION '% refused on %: schema ledger is frozen', command, coalesce(object, 'an object in it')
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'Only `opsledger init` changes schema ledger.';
    END IF;
END
$$;
