-- Switches capture on again, as it was laid.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT t.tgrelid::regclass AS target, t.tgname AS name FROM pg_trigger AS t
        WHERE t.tgname LIKE 'capture\_%' AND t.tgrelid::regclass::text LIKE 'ops\_%' LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', found.target, found.name);
    END LOOP;
    FOR found IN SELECT e.evtname FROM pg_event_trigger AS e WHERE e.evtname LIKE 'opsledger%' LOOP
        EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', found.evtname);
    END LOOP;
END $$;
