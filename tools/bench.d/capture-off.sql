-- Takes capture away, as only a superuser can: for the floors of benches, which write the tables themselves. Switched off,
-- its transition tables would be filled nonetheless.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT e.evtname FROM pg_event_trigger AS e WHERE e.evtname LIKE 'opsledger%' LOOP
        EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', found.evtname);
    END LOOP;
    FOR found IN SELECT t.tgrelid::regclass AS target, t.tgname AS name FROM pg_trigger AS t
        WHERE t.tgname LIKE 'capture\_%' AND t.tgrelid::regclass::text LIKE 'ops\_%' LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', found.name, found.target);
    END LOOP;
END $$;
