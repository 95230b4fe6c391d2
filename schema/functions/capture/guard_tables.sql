-- ledger_guard.guard_tables: DDL that would let a change of the eight tables pass capture is refused.
--
-- Operators' own columns, indexes, policies and AFTER triggers pass.
--
-- Returns  nothing: raises 42501 with the fault (ledger_guard.table_faults).
-- Locks    none.
-- Used by  event triggers opsledger_tables_ddl and opsledger_tables_drop. As its owner, the installing
--          superuser, whose transactions hold a permit while they lay the schema.
CREATE OR REPLACE FUNCTION ledger_guard.guard_tables() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong record;
BEGIN
    -- Most commands have nothing to do with the eight, and temporary tables come and go. What a command made is
    -- looked at, not its name: CREATE SCHEMA makes tables, too.
    IF TG_EVENT = 'sql_drop' THEN
        IF NOT EXISTS (SELECT FROM pg_event_trigger_dropped_objects() AS d
                       WHERE d.object_identity ~ '(^|[. ])"?ops_') THEN
            RETURN;
        END IF;
    ELSIF TG_TAG NOT IN ('REASSIGN OWNED', 'DROP OWNED')  -- These name nothing.
        AND NOT EXISTS (
            SELECT FROM pg_event_trigger_ddl_commands() AS d
            WHERE d.classid IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_trigger'::regclass,
                    'pg_rewrite'::regclass, 'pg_constraint'::regclass)
                -- What is new and has no parent is nobody's.
                AND NOT (d.classid IN ('pg_class'::regclass, 'pg_type'::regclass)
                    AND (starts_with(d.command_tag, 'CREATE ') OR d.command_tag = 'SELECT INTO')
                    AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = d.objid)))
    THEN
        RETURN;
    END IF;
    IF ledger_guard.is_permitted() THEN
        RETURN;
    END IF;
    SELECT f.relation, f.fault INTO wrong FROM ledger_guard.table_faults() AS f LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% refused: public.% is the ledger''s, and afterwards %',
            TG_TAG, wrong.relation, wrong.fault
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'What the ledger records of the eight tables stays; columns, indexes, policies and '
                    'AFTER triggers of your own may be added. What was out of force before, `opsledger init` '
                    'puts back.';
    END IF;
END
$$;

-- Retyping a column to its own type rewrites its values: nothing but the row of pg_attribute shows it.
CREATE OR REPLACE FUNCTION ledger_guard.guard_rewrite() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rewritten CONSTANT oid := pg_event_trigger_table_rewrite_oid();
    rewrote text;
BEGIN
    IF pg_event_trigger_table_rewrite_reason() & 4 = 0 OR ledger_guard.is_permitted() THEN
        RETURN;
    END IF;
    SELECT a.attname INTO rewrote
    FROM pg_attribute AS a JOIN ledger.captured_columns() AS c ON c.name = a.attname
    WHERE a.attrelid = rewritten AND to_regclass('public.' || c.relation) = rewritten
      -- Written by this transaction, or by a subtransaction of it.
      AND age(a.xmin) <= age(pg_current_xact_id()::xid)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% refused: it rewrites column % of %, off the record', TG_TAG, rewrote,
            rewritten::regclass
            USING ERRCODE = 'insufficient_privilege', HINT = 'Change the values by UPDATE.';
    END IF;
END
$$;

-- Whether this transaction may change the ledger's schema (ledger.ddl_permits).
CREATE OR REPLACE FUNCTION ledger_guard.is_permitted() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN to_regclass('ledger.ddl_permits') IS NOT NULL AND EXISTS (
        SELECT FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id_if_assigned());
END
$$;
