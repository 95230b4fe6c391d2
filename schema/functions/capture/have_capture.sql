-- ledger_guard.have_capture: makes the triggers on the eight tables that record changes without an event.
--
-- ENABLE ALWAYS, so that session_replication_role switches nothing off. WHEN is evaluated as the caller,
-- also inside a function of somebody else's: only the keeper's repairs pass, and those are noted
-- (capture_is_on), and what writes a report with its event (capture_checks_reports). Row triggers are skipped where an engine writes: a row of version 1 or more in a
-- transaction that has drawn, or a version raised with the row's time; the statement triggers look at
-- all of it, a changed key too.
--
-- PostgreSQL reads a WHEN anew for every statement, and that takes longer than to evaluate it: a call of a
-- function is the shortest to read.
--
-- Returns  nothing.
-- Locks    SHARE ROW EXCLUSIVE on a table that lacks a trigger or has another; none where all is in force.
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

-- A fill of empty tables (`opsledger rebuild`) without the triggers of inserts: one before each row makes
-- COPY write row by row, and a transition table keeps every row twice; both are a fifth of a rebuild.
--
-- Only the keeper may, whose rows pass unrecorded anyway; the tables are locked to the transaction's end,
-- and that comes only with the triggers back (capture_check_repair).
--
-- Returns  nothing.
-- Locks    ACCESS EXCLUSIVE on the eight tables.
-- Used by  rebuild. As their owner, the installing superuser, who may permit DDL.
CREATE OR REPLACE FUNCTION ledger_guard.lift_capture() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target text;
BEGIN
    INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id());
    FOR target IN SELECT DISTINCT c.relation FROM ledger.captured_columns() AS c LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS capture_insert_row ON public.%I', target);
        EXECUTE format('DROP TRIGGER IF EXISTS capture_insert ON public.%I', target);
    END LOOP;
    DELETE FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id();
    -- Last: where constraints are immediate, this is looked at now, and refused.
    INSERT INTO ledger.pending (tx, kind, type) VALUES (pg_current_xact_id(), 'repair', 'lifted');
END
$$;

CREATE OR REPLACE FUNCTION ledger_guard.restore_capture() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id());
    PERFORM ledger_guard.have_capture();
    DELETE FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id();
END
$$;
