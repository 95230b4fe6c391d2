-- ledger.draw as it would be without capture: it asks for nothing staged and leaves no mark. For the bench that measures capture.
CREATE OR REPLACE FUNCTION ledger.draw(OUT entry bigint, OUT recorded_at timestamptz) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
    shown boolean;
    place CONSTANT pg_catalog.text := pg_catalog.current_setting('opsledger.place', true);
BEGIN
    entry := pg_catalog.pg_sequence_last_value('ledger.entry_sequence');
    -- 19796 << 48 | b
    shown := pg_catalog.pg_advisory_xact_lock_shared(
        5572078638964146176 OPERATOR(pg_catalog.|) entry) IS NOT NULL;
    entry := pg_catalog.nextval('ledger.entry_sequence');
    -- As require_home asks, which is called where it must do more: a PERFORM costs as much as all of this.
    IF (place OPERATOR(pg_catalog.<>) '' AND pg_catalog.hashtextextended(place OPERATOR(pg_catalog.||) '/'
            OPERATOR(pg_catalog.||) pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8), 0)
        OPERATOR(pg_catalog.=) pg_catalog.pg_sequence_last_value('ledger.home_sequence'))
        IS NOT TRUE
    THEN
        PERFORM ledger.require_home();
    END IF;
    recorded_at := ledger.now();
END
$$;
ALTER FUNCTION ledger.draw() OWNER TO opsledger_owner;
