-- ledger.refuse_drop: nothing leaves schema ledger, except in transactions that hold a permit.
--
-- Returns  nothing: raises 42501.
-- Locks    none.
-- Used by  event trigger opsledger_frozen_drop, after any command that dropped something.
CREATE OR REPLACE FUNCTION ledger.refuse_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped record;
BEGIN
    FOR dropped IN
        SELECT d.object_type, d.object_identity
        FROM pg_event_trigger_dropped_objects() AS d
        WHERE d.schema_name = 'ledger'
           OR d.object_type = 'schema' AND d.object_name = 'ledger'
           -- Rules, triggers and policies: 'name on ledger.events'.
           OR d.object_identity LIKE '% on ledger.%'
    LOOP
        PERFORM ledger.refuse_without_permit(TG_TAG, dropped.object_identity);
    END LOOP;
END
$$;
