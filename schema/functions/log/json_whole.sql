-- ledger.json_whole: the whole number that a JSON value is, by the rules of the engine: `1.0` and `"1"` are no whole
-- numbers, and give null.
CREATE OR REPLACE FUNCTION ledger.json_whole(value jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'number' AND value::text ~ '^-?[0-9]{1,18}$'
        THEN value::text::bigint END
$$;
