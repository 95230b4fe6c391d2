-- ledger.capture_recorded: refuses a change of ledger.ledger or ledger.holds without its event in the same transaction.
--
-- Nobody may change these rows manually. The repair role writes them without an event each, and its transaction must
-- record the repair (capture_check_repair).
--
-- Raises   42501.
-- Used by  triggers on ledger.ledger and ledger.holds.
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
    RAISE EXCEPTION '% of %.% refused: a row of this table changes only together with its event', TG_OP,
        TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'Use `opsledger hold place` and `opsledger hold release` to change holds; '
                '`opsledger rebuild` repairs a row that is wrong.';
END
$$;
