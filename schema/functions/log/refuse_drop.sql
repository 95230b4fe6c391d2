-- ledger_guard.refuse_drop: refuses a drop in schema ledger or ledger_guard in a transaction without a permit.
--
-- Raises   42501.
-- Used by  event trigger opsledger_frozen_drop.
CREATE OR REPLACE FUNCTION ledger_guard.refuse_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped record;
BEGIN
    FOR dropped IN
        SELECT d.object_type, d.object_identity
        FROM pg_event_trigger_dropped_objects() AS d
        WHERE d.schema_name IN ('ledger', 'ledger_guard')
           OR d.object_type = 'schema' AND d.object_name IN ('ledger', 'ledger_guard')
           -- Rules, triggers and policies are identified as 'name on ledger.events'.
           OR d.object_identity LIKE '% on ledger.%'
    LOOP
        PERFORM ledger_guard.refuse_without_permit(TG_TAG, dropped.object_identity);
    END LOOP;
END
$$;
