-- Capture: what records the changes of the eight tables that came without their event.
--
-- Locks    SHARE ROW EXCLUSIVE on a table that lacks a trigger or has another; none where all is in force.
DO $$
DECLARE
    older record;
BEGIN
    -- Of releases before, where the keeper had triggers of its own.
    FOR older IN SELECT t.tgrelid::regclass AS target, t.tgname AS name FROM pg_trigger AS t
        WHERE t.tgfoid = to_regproc('ledger.capture_keeper') LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', older.name, older.target);
    END LOOP;
    DROP FUNCTION IF EXISTS ledger.capture_keeper();
    PERFORM ledger_guard.have_capture();
    PERFORM ledger_guard.have_trigger('ledger.pending', 'capture_move',
        'CONSTRAINT AFTER INSERT ON ledger.pending DEFERRABLE INITIALLY DEFERRED FOR EACH ROW '
        'WHEN (NEW.kind <> ''event'')', 'ledger.capture_move');
    PERFORM ledger_guard.have_trigger(t.target, 'capture_recorded',
            format('AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW', t.target), 'ledger.capture_recorded'),
        ledger_guard.have_trigger(t.target, 'capture_recorded_truncate',
            format('BEFORE TRUNCATE ON %s FOR EACH STATEMENT', t.target), 'ledger.capture_recorded')
    FROM unnest(ARRAY['ledger.ledger', 'ledger.holds']::regclass[]) AS t (target);
END $$;
