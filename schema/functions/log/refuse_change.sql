-- ledger.refuse_change: refuses every change of an append-only table, except under a permit (ledger.erasure_permits).
--
-- Permits  An erasure (erase_content) may empty the content of an event and store its commitment, and change nothing
--          else. Repairs may delete checkpoints, records of archived partitions, and copies of archived events.
-- Raises   42501 with the table and the operation.
-- Used by  the triggers of guards/append_only.sql.
CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger.erasure_permits AS p WHERE p.xid = pg_current_xact_id_if_assigned()) THEN
        IF TG_OP = 'DELETE' AND TG_TABLE_NAME IN ('checkpoints', 'archived_partitions', 'kept_events') THEN
            RETURN OLD;
        ELSIF TG_OP = 'UPDATE' AND (TG_TABLE_NAME LIKE 'events%' OR TG_TABLE_NAME = 'kept_events') THEN
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
    END IF;
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'Recorded events stay. To correct one, record a new event.';
END
$$;
