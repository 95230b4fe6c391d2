-- ledger.condition_holds: whether a pattern's condition, an SQL/JSON path, holds for an agent event's data.
--
-- It holds if the first item of the path's result is neither false nor null. So the path may be a predicate or a
-- filter. Times without a zone are in UTC.
--
-- Returns  1 if it holds, 0 if not. ! if the path cannot be evaluated for this data, which must not stop the other
--          conditions. t if the statement's time (statement_timeout) ran out during this call, and - for every later
--          call in the statement: the results are not known.
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
