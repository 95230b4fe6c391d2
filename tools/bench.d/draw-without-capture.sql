-- ledger.draw as it would be without capture: it asks for nothing staged and leaves no mark. For the bench that measures capture.
CREATE OR REPLACE FUNCTION ledger.draw(OUT entry bigint, OUT recorded_at timestamptz) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
BEGIN
    entry := coalesce(pg_catalog.pg_sequence_last_value('ledger.entry_sequence'), 0);
    -- 19796 << 48 | b
    IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(5572078638964146176 OPERATOR(pg_catalog.|) entry) THEN
        PERFORM ledger.show_bound(entry);
    END IF;
    PERFORM FROM ledger.checkpoints AS c WHERE c.entry OPERATOR(pg_catalog.>) draw.entry;
    IF FOUND OR entry OPERATOR(pg_catalog.>=) 199999999999999 THEN
        PERFORM ledger.refuse_number();
    END IF;
    entry := pg_catalog.nextval('ledger.entry_sequence');
    -- As require_home asks, which is called where it must do more: a PERFORM costs as much as all of this.
    IF (CASE WHEN pg_catalog.current_setting('opsledger.backend', true)
            OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()::pg_catalog.text
        THEN pg_catalog.currval('ledger.place_sequence')
            OPERATOR(pg_catalog.=) pg_catalog.pg_sequence_last_value('ledger.home_sequence') END)
        IS NOT TRUE
    THEN
        PERFORM ledger.require_home();
    END IF;
    recorded_at := ledger.now();
END
$$;
ALTER FUNCTION ledger.draw() OWNER TO opsledger_owner;
