-- ledger.condition_holds: whether a pattern's condition, an SQL/JSON path, holds for an agent event's data.
--
-- It holds where the first thing that the path gives is neither false nor null, so that predicates and filters
-- both say what they mean. Times without a zone are UTC's.
--
-- Returns  null where the path cannot be evaluated for this data, which must not stop the others.
-- Locks    none.
-- Used by  the heartbeat, policy explain.
CREATE OR REPLACE FUNCTION ledger.condition_holds(data jsonb, path text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    RETURN coalesce(jsonb_path_query_first_tz(data, path::jsonpath, '{}', true) NOT IN ('false', 'null'), false);
EXCEPTION WHEN data_exception OR undefined_object OR feature_not_supported OR program_limit_exceeded
    OR statement_too_complex THEN
    RETURN NULL;
END
$$;
ALTER FUNCTION ledger.condition_holds(jsonb, text) OWNER TO opsledger_owner;
