-- ledger.capture_set_planner makes the settings under which capture stages rows; ledger.capture_reset_planner puts the
-- earlier settings back.
--
-- While capture stages rows, row-level policies hide no row, old and new rows are joined by hash, and no plan from the
-- time of an empty log is used.
--
-- Returns  capture_set_planner: the earlier settings, for capture_reset_planner.
-- Used by  the functions that capture_tables.sql makes.
CREATE OR REPLACE FUNCTION ledger.capture_set_planner() RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before CONSTANT text[] := ARRAY[current_setting('row_security'), current_setting('jit'),
        current_setting('plan_cache_mode'), current_setting('enable_seqscan'),
        current_setting('enable_bitmapscan'), current_setting('enable_nestloop'),
        current_setting('enable_mergejoin')];
BEGIN
    PERFORM ledger.capture_reset_planner(
        ARRAY['off', 'off', 'force_generic_plan', 'off', 'off', 'off', 'off']);
    RETURN before;
END
$$;
CREATE OR REPLACE FUNCTION ledger.capture_reset_planner(settings text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('row_security', settings[1], true), set_config('jit', settings[2], true),
        set_config('plan_cache_mode', settings[3], true),
        set_config('enable_seqscan', settings[4], true),
        set_config('enable_bitmapscan', settings[5], true),
        set_config('enable_nestloop', settings[6], true),
        set_config('enable_mergejoin', settings[7], true);
END
$$;
