-- ledger.refuse_change: what is recorded stays.
--
-- Returns  never, but under a permit. For an erasure (erase_content) it looks at each row, and lets pass what takes
--          values out of content and leaves their commitment, and nothing else. For a repair (repair_guarded) it lets
--          rows go from the tables beside the log. Raises 42501
--          with the table and the operation.
-- Locks    none.
-- Used by  BEFORE triggers, ENABLE ALWAYS, on the log, each partition and the checkpoints: by statement
--          for everyone, by row for logical replication, whose workers fire no statement triggers.
CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME IN ('checkpoints', 'archived_partitions', 'kept_events') AND EXISTS (
        SELECT FROM ledger.erasure_permits AS p WHERE p.xid = pg_current_xact_id_if_assigned())
    THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND (TG_TABLE_NAME LIKE 'events%' OR TG_TABLE_NAME = 'kept_events') AND EXISTS (
        SELECT FROM ledger.erasure_permits AS p WHERE p.xid = pg_current_xact_id_if_assigned())
    THEN
        IF TG_LEVEL = 'STATEMENT' THEN
            RETURN NULL;
        ELSIF NEW.salt IS NULL
            AND NEW.commitment = sha256(OLD.salt || convert_to(OLD.content::text, 'UTF8'))
            AND NEW.content::text = ledger.emptied(OLD.content)::text
            AND (NEW.entry, NEW.index, NEW.stream, NEW.version, NEW.type, NEW.recorded_at, NEW.actor, NEW.cause,
                NEW.command, NEW.data::text)
                IS NOT DISTINCT FROM (OLD.entry, OLD.index, OLD.stream, OLD.version, OLD.type, OLD.recorded_at,
                OLD.actor, OLD.cause, OLD.command, OLD.data::text)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'What is recorded stays; a correction is a new event.';
END
$$;
