-- Capture: what records the changes of the eight tables that came without their event.
--
-- ENABLE ALWAYS, so that session_replication_role switches nothing off. WHEN is evaluated as the caller,
-- also inside a function of somebody else's: only the keeper's repairs pass, and those must say so
-- (capture_keeper). Row triggers are skipped where an engine writes: a row of version 1 or more in a
-- transaction that has drawn, or a version raised with the row's time; the statement triggers look at
-- all of it.
--
-- Locks    SHARE ROW EXCLUSIVE on a table that lacks a trigger or has another; none where all is in force.
DO $$
DECLARE
    made record;
    target text;
    name text;
    definition text;
    hands CONSTANT text := 'current_user <> ''opsledger_keeper''';
BEGIN
    FOR made IN
        SELECT c.relation, (array_agg(c.name ORDER BY c.ordinality))[1] AS key,
            bool_or(c.name = 'updated_at') AS has_updated_at
        FROM ledger.captured_columns() WITH ORDINALITY AS c GROUP BY c.relation
    LOOP
        target := 'public.' || made.relation;
        FOR name, definition IN VALUES
            ('capture_insert_row', format('BEFORE INSERT ON %s FOR EACH ROW WHEN (%s AND '
                '(NEW.version = 0 OR coalesce(current_setting(''opsledger.entry'', true), '''') = ''''))',
                target, hands)),
            ('capture_update_row', format('BEFORE UPDATE ON %1$s FOR EACH ROW WHEN (%2$s AND '
                '(NEW.version <= OLD.version OR NEW.%3$s <> OLD.%3$s%4$s))', target, hands, made.key,
                CASE WHEN made.has_updated_at THEN ' OR NEW.version = OLD.version + 1'
                    ' AND NEW.updated_at = OLD.updated_at' ELSE '' END)),
            ('capture_insert', format('AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows '
                'FOR EACH STATEMENT WHEN (%s)', target, hands)),
            ('capture_update', format('AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows '
                'NEW TABLE AS new_rows FOR EACH STATEMENT WHEN (%s)', target, hands)),
            ('capture_delete', format('AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows '
                'FOR EACH STATEMENT WHEN (%s)', target, hands)),
            ('capture_truncate', format('BEFORE TRUNCATE ON %s FOR EACH STATEMENT WHEN (%s)',
                target, hands)),
            ('capture_keeper', format('AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT '
                'WHEN (current_user = ''opsledger_keeper'')', target)),
            ('capture_keeper_truncate', format('BEFORE TRUNCATE ON %s FOR EACH STATEMENT '
                'WHEN (current_user = ''opsledger_keeper'')', target))
        LOOP
            PERFORM ledger_guard.have_trigger(target::regclass, name, definition,
                CASE WHEN name LIKE 'capture_keeper%' THEN 'ledger.capture_keeper'
                    ELSE format('ledger.%s_%s', name, made.relation) END);
        END LOOP;
    END LOOP;
    PERFORM ledger_guard.have_trigger('ledger.pending', 'capture_move',
        'CONSTRAINT AFTER INSERT ON ledger.pending DEFERRABLE INITIALLY DEFERRED FOR EACH ROW '
        'WHEN (NEW.kind <> ''event'')', 'ledger.capture_move');
END $$;
