-- Capture: the triggers that record the changes of rows that come without an event.
--
-- Locks    SHARE ROW EXCLUSIVE on a table that lacks a trigger or has another one.
DO $$
BEGIN
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
