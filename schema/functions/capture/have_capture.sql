-- ledger_guard.have_capture: creates the triggers on the eight tables that record manual changes.
--
-- The triggers are ENABLE ALWAYS, so that session_replication_role does not switch them off. PostgreSQL evaluates WHEN
-- as the caller, also inside a function of somebody else. The statement triggers skip the statements of the repair
-- role, which capture notes (capture_is_on), and the row that is written together with its event
-- (capture_checks_reports). The row triggers skip the rows of the engine: an inserted row with a version, in a
-- transaction that has allocated an entry; and an update that raises both the version and the row's time. The statement
-- triggers check these rows, and changed keys.
--
-- PostgreSQL parses a WHEN for every statement. Each WHEN is a function call, because that is fastest to parse.
--
-- Locks    SHARE ROW EXCLUSIVE on a table that lacks a trigger or has another one.
-- Used by  guards/capture.sql, restore_capture.
CREATE OR REPLACE FUNCTION ledger_guard.have_capture() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made record;
    target text;
    name text;
    definition text;
BEGIN
    FOR made IN
        SELECT c.relation, bool_or(c.name = 'updated_at') AS has_updated_at
        FROM ledger.captured_columns() AS c GROUP BY c.relation
    LOOP
        target := 'public.' || made.relation;
        FOR name, definition IN VALUES
            ('capture_insert_row', format('BEFORE INSERT ON %s FOR EACH ROW '
                'WHEN (ledger.capture_numbers(NEW.version))', target)),
            ('capture_update_row', format('BEFORE UPDATE ON %s FOR EACH ROW WHEN ('
                '(NEW.version <= OLD.version%s) AND ledger.capture_numbers(0))', target,
                CASE WHEN made.has_updated_at THEN ' OR NEW.updated_at = OLD.updated_at' ELSE '' END)),
            ('capture_insert', format('AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows '
                'FOR EACH STATEMENT WHEN (ledger.%s())', target,
                CASE made.relation WHEN 'ops_agent_events' THEN 'capture_checks_reports'
                    ELSE 'capture_is_on' END)),
            ('capture_update', format('AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows '
                'NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (ledger.capture_is_on())', target)),
            ('capture_delete', format('AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows '
                'FOR EACH STATEMENT WHEN (ledger.capture_is_on())', target)),
            ('capture_truncate', format('BEFORE TRUNCATE ON %s FOR EACH STATEMENT '
                'WHEN (ledger.capture_is_on())', target))
        LOOP
            PERFORM ledger_guard.have_trigger(target::regclass, name, definition,
                format('ledger.%s_%s', name, made.relation));
        END LOOP;
    END LOOP;
END
$$;

-- ledger_guard.lift_capture: drops the triggers of inserts, so that `opsledger rebuild` fills empty tables faster. A
-- row trigger makes COPY write row by row, and a transition table keeps every row twice. Each takes a fifth of a
-- rebuild.
--
-- Only the repair role may call it. Its transaction can end only after restore_capture (capture_check_repair), and
-- keeps the tables locked until then.
--
-- Locks    ACCESS EXCLUSIVE on the eight tables.
-- Used by  rebuild. It runs as its owner, the installing superuser, who may permit DDL.
CREATE OR REPLACE FUNCTION ledger_guard.lift_capture() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger_guard.change_schema(ARRAY(
        SELECT format('DROP TRIGGER IF EXISTS %I ON public.%I', t.name, c.relation)
        FROM (SELECT DISTINCT relation FROM ledger.captured_columns()) AS c,
            unnest('{capture_insert_row,capture_insert}'::text[]) AS t (name)));
    -- Last: if constraints are immediate, the check comes now, and refuses.
    INSERT INTO ledger.pending (tx, kind, type) VALUES (pg_current_xact_id(), 'repair', 'lifted');
END
$$;

CREATE OR REPLACE FUNCTION ledger_guard.restore_capture() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT ledger_guard.change_schema('{SELECT ledger_guard.have_capture()}')
$$;
