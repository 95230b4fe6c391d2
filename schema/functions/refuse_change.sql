-- ledger.refuse_change: what is recorded stays.
--
-- Returns  never: raises 42501 with the table and the operation.
-- Locks    none.
-- Used by  BEFORE triggers, ENABLE ALWAYS, on the log, each partition and the checkpoints: by statement
--          for everyone, by row for logical replication, whose workers fire no statement triggers.
CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'What is recorded stays; a correction is a new event.';
END
$$;
