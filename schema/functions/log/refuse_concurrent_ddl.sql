-- ledger_guard.refuse_concurrent_ddl: DDL that commits half-way is stopped before it starts.
--
-- DETACH PARTITION … CONCURRENTLY hides the partition in a transaction of its own, and CREATE and
-- DROP INDEX CONCURRENTLY leave an index that is not valid: refuse_ddl would come too late. They run
-- only as a statement of their own, never from a function, so the client's text is the whole
-- command, its keywords are spelled out, and a name can hide only behind U&"…".
--
-- Returns  nothing: raises 42501.
-- Locks    none.
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
    -- Inside a transaction nothing runs concurrently: whoever holds a permit only says the word.
    IF EXISTS (SELECT FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id_if_assigned()) THEN
        RETURN;
    END IF;
    SELECT n.name INTO touched
    FROM (SELECT 'ledger' UNION ALL
          SELECT c.relname::text FROM pg_class AS c
          WHERE c.relnamespace = to_regnamespace('ledger')) AS n (name)
    -- The name as it stands, unless another schema is before it.
    WHERE strpos(command, n.name) > 0
      AND command ~ (E'(^|[^a-z0-9_$".]|ledger"?\\s*\\.\\s*)"?' || n.name || '"?($|[^a-z0-9_$"])')
    LIMIT 1;
    IF touched IS NULL AND command ~ 'u&"' THEN
        touched := 'a name written as U&"…"';
    END IF;
    IF touched IS NOT NULL THEN
        RAISE EXCEPTION 'schema ledger is frozen: % CONCURRENTLY refused on %', TG_TAG, touched
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'If this is about a table of your own, name it with its schema, as app.events.';
    END IF;
END
$$;
