-- Switches capture on again, with the triggers of the schema.
DO $$
DECLARE
    found record;
BEGIN
    PERFORM ledger_guard.have_capture();
    FOR found IN SELECT e.evtname FROM pg_event_trigger AS e WHERE e.evtname LIKE 'opsledger%' LOOP
        EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', found.evtname);
    END LOOP;
END $$;
