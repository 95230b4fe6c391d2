-- ledger.json_whole: the whole number that a JSON value is, as the engine reads one.
--
-- Returns  null where it is none: `1.0` and `"1"` are none.
-- Locks    none.
-- Used by  template_steps, policy_fault, gate and the like.
CREATE OR REPLACE FUNCTION ledger.json_whole(value jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'number' AND value::text ~ '^-?[0-9]{1,18}$'
        THEN value::text::bigint END
$$;
ALTER FUNCTION ledger.json_whole(jsonb) OWNER TO opsledger_owner;
