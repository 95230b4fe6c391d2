-- ledger.condition_holds: whether a pattern's condition, an SQL/JSON path, holds for an agent event's data.
--
-- It holds where the first thing that the path gives is neither false nor null, so that predicates and filters
-- both say what they mean. Times without a zone are UTC's.
--
-- Returns  1 where it holds, 0 where not; ! where the path cannot be evaluated for this data, which must not stop the
--          others; t where the statement's time (statement_timeout) was up meanwhile, and - for all that the statement
--          asks after that: nobody knows.
-- Locks    none.
-- Used by  the heartbeat, policy explain.
CREATE OR REPLACE FUNCTION ledger.condition_holds(data jsonb, path text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    IF current_setting('opsledger.condition_time', true) = 'up' THEN
        RETURN '-';
    END IF;
    RETURN CASE WHEN jsonb_path_query_first_tz(data, path::jsonpath, '{}', true) NOT IN ('false', 'null')
        THEN '1' ELSE '0' END;
EXCEPTION
    WHEN query_canceled THEN
        PERFORM set_config('opsledger.condition_time', 'up', true);
        RETURN 't';
    WHEN data_exception OR undefined_object OR feature_not_supported OR program_limit_exceeded
        OR statement_too_complex THEN
        RETURN '!';
END
$$;
ALTER FUNCTION ledger.condition_holds(jsonb, text) OWNER TO opsledger_owner;
