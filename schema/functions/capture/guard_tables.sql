-- ledger_guard.guard_tables: refuses DDL that would let a change of the eight tables pass capture.
--
-- Operators may add columns, indexes, policies and AFTER triggers.
--
-- Raises   42501 with the fault (ledger_guard.table_faults).
-- Used by  event triggers opsledger_tables_ddl and opsledger_tables_drop.
CREATE OR REPLACE FUNCTION ledger_guard.guard_tables() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong record;
BEGIN
    -- Most commands do not touch the eight tables. The objects of a command decide, not its name, because CREATE SCHEMA
    -- can create tables.
    IF TG_EVENT = 'sql_drop' THEN
        IF NOT EXISTS (SELECT FROM pg_event_trigger_dropped_objects() AS d
                       WHERE d.object_identity ~ '(^|[. ])"?ops_') THEN
            RETURN;
        END IF;
    ELSIF TG_TAG NOT IN ('REASSIGN OWNED', 'DROP OWNED')  -- These commands list no objects.
        AND NOT EXISTS (
            SELECT FROM pg_event_trigger_ddl_commands() AS d
            WHERE d.classid IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_trigger'::regclass,
                    'pg_rewrite'::regclass, 'pg_constraint'::regclass)
                -- A new object without a parent is not one of the eight.
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
        RAISE EXCEPTION '% refused: changes of public.% would not be recorded correctly afterwards: %',
            TG_TAG, wrong.relation, wrong.fault
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'You may add columns, indexes, policies and AFTER triggers to the eight tables. If the '
                    'fault was there before this command, `opsledger init` repairs it.';
    END IF;
END
$$;

-- Refuses an ALTER COLUMN … TYPE that rewrites a captured column, even to the same type. Only the column's row of
-- pg_attribute shows such a rewrite.
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
      -- This transaction or a subtransaction of it wrote the row.
      AND age(a.xmin) <= age(pg_current_xact_id()::xid)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% refused: it would change column % of % without a record', TG_TAG, rewrote,
            rewritten::regclass
            USING ERRCODE = 'insufficient_privilege', HINT = 'Change the values with UPDATE.';
    END IF;
END
$$;

-- Whether this transaction may change schema ledger. The table of permits is missing if this command drops it.
CREATE OR REPLACE FUNCTION ledger_guard.is_permitted() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass('ledger.ddl_permits') IS NULL THEN
        RETURN false;
    END IF;
    RETURN EXISTS (SELECT FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id_if_assigned());
END
$$;

-- Executes commands that change schema ledger or the triggers of capture. The transaction has a permit meanwhile.
CREATE OR REPLACE FUNCTION ledger_guard.change_schema(commands text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was_permitted CONSTANT boolean := ledger_guard.is_permitted();
    command text;
BEGIN
    IF NOT was_permitted THEN
        INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id());
    END IF;
    FOREACH command IN ARRAY commands LOOP
        EXECUTE command;
    END LOOP;
    IF NOT was_permitted THEN
        DELETE FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id();
    END IF;
END
$$;
