-- ledger_guard.have_trigger: creates a trigger, ENABLE ALWAYS, unless it exists with this definition.
--
-- The trigger's comment keeps the definition, because pg_get_triggerdef prints other words.
--
-- Locks    SHARE ROW EXCLUSIVE on the table if it changes something. Otherwise none, so that applying the schema again
--          does not delay writers.
-- Used by  have_capture, guards/capture.sql.
CREATE OR REPLACE FUNCTION ledger_guard.have_trigger(
    target regclass, name text, definition text, function text
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_constraint CONSTANT boolean := starts_with(definition, 'CONSTRAINT ');
    enabled "char";
    wanted text;
BEGIN
    SELECT t.tgenabled, obj_description(t.oid, 'pg_trigger') INTO enabled, wanted
    FROM pg_trigger AS t WHERE t.tgrelid = target AND t.tgname = name;
    IF enabled IS NOT NULL AND wanted IS DISTINCT FROM definition THEN
        EXECUTE format('DROP TRIGGER %I ON %s', name, target);
        enabled := NULL;
    END IF;
    IF enabled IS NULL THEN
        EXECUTE format('CREATE %sTRIGGER %I %s EXECUTE FUNCTION %s()',
            CASE WHEN is_constraint THEN 'CONSTRAINT ' ELSE '' END, name,
            CASE WHEN is_constraint THEN substr(definition, 12) ELSE definition END, function);
        EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', name, target, definition);
    END IF;
    IF enabled IS DISTINCT FROM 'A' THEN
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', target, name);
    END IF;
END
$$;
