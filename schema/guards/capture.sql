-- Capture: what records the changes of the eight tables that came without their event.
--
-- Locks    SHARE ROW EXCLUSIVE on a table that lacks a trigger or has another; none where all is in force.
DO $$
BEGIN
    PERFORM ledger_guard.have_capture();
    PERFORM ledger_guard.have_trigger('ledger.pending', 'capture_move',
        'CONSTRAINT AFTER INSERT ON ledger.pending DEFERRABLE INITIALLY DEFERRED FOR EACH ROW '
        'WHEN (NEW.kind <> ''event'')', 'ledger.capture_move');
END $$;
