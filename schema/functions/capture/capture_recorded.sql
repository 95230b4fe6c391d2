-- ledger.capture_recorded: a row of the ledger's own tables changes with its event, in one transaction, or not at all.
--
-- Holds keep missions from leaving, and the ledger's row says whose history this is; no hand writes either. The keeper
-- mends them without an event of theirs, and records a repair instead (capture_check_repair).
--
-- Raises   42501, with the row.
-- Locks    none.
-- Used by  triggers on ledger.ledger and ledger.holds, as ledger's owner.
CREATE OR REPLACE FUNCTION ledger.capture_recorded() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    row_stream uuid;
BEGIN
    IF current_setting('role') = 'opsledger_repair' THEN
        PERFORM ledger.capture_note_repair();
        RETURN NULL;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        IF TG_RELID = 'ledger.holds'::regclass THEN
            row_stream := NEW.id;
        ELSE
            row_stream := ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'ledger:' || NEW.key);
        END IF;
        IF EXISTS (SELECT FROM ledger.events AS e
                WHERE e.stream = row_stream AND e.version = NEW.version AND e.command IS NOT NULL
                  AND e.xmin = pg_current_xact_id()::xid) THEN
            RETURN NULL;
        END IF;
    END IF;
    RAISE EXCEPTION '%.% changes only with its event: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'See `opsledger hold`; `opsledger rebuild` mends the row.';
END
$$;
ALTER FUNCTION ledger.capture_recorded() OWNER TO opsledger_owner;
