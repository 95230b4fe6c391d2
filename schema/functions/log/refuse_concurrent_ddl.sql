-- ledger_guard.refuse_concurrent_ddl: refuses CONCURRENTLY in schema ledger before the command starts.
--
-- DETACH PARTITION … CONCURRENTLY hides the partition in a transaction of its own, and CREATE and DROP INDEX
-- CONCURRENTLY leave an invalid index, so refuse_ddl would come too late. These commands cannot run inside a function,
-- so the client's text is the whole command. Its keywords are written out, and a name can be hidden only as U&"…".
--
-- Raises   42501.
-- Used by  event trigger opsledger_frozen_start, for ALTER TABLE, CREATE INDEX and DROP INDEX.
CREATE OR REPLACE FUNCTION ledger_guard.refuse_concurrent_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    command text := lower(current_query());
    touched text;
BEGIN
    IF command !~ E'\\mconcurrently\\M' THEN
        RETURN;
    END IF;
    -- A transaction with a permit only has the word somewhere in its text: CONCURRENTLY needs a transaction of its own.
    IF ledger_guard.is_permitted() THEN
        RETURN;
    END IF;
    SELECT n.name INTO touched
    FROM (SELECT 'ledger' UNION ALL
          SELECT c.relname::text FROM pg_class AS c
          WHERE c.relnamespace = to_regnamespace('ledger')) AS n (name)
    -- The name alone, or with schema ledger; not with another schema before it.
    WHERE strpos(command, n.name) > 0
      AND command ~ (E'(^|[^a-z0-9_$".]|ledger"?\\s*\\.\\s*)"?' || n.name || '"?($|[^a-z0-9_$"])')
    LIMIT 1;
    IF touched IS NULL AND command ~ 'u&"' THEN
        touched := 'a name written as U&"…"';
    END IF;
    IF touched IS NOT NULL THEN
        RAISE EXCEPTION '% CONCURRENTLY refused on %: schema ledger is frozen', TG_TAG, touched
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'If you mean a table of your own, write its schema before its name, such as app.events.';
    END IF;
END
$$;
