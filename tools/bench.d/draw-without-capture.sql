-- ledger.draw as it was before capture: it asks for nothing staged and leaves no mark. For the bench that measures capture.
CREATE OR REPLACE FUNCTION ledger.draw(OUT entry bigint, OUT recorded_at timestamptz) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    shown boolean;
BEGIN
    entry := pg_catalog.pg_sequence_last_value('ledger.entry_sequence');
    -- 19796 << 48 | b
    shown := pg_catalog.pg_advisory_xact_lock_shared(
        5572078638964146176 OPERATOR(pg_catalog.|) entry) IS NOT NULL;
    entry := pg_catalog.nextval('ledger.entry_sequence');
    PERFORM ledger.require_home();
    recorded_at := ledger.now();
END
$$;
ALTER FUNCTION ledger.draw() OWNER TO opsledger_owner;
