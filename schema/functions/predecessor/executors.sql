-- ledger.executors: the names of the executors, sorted. `tools/embed-schema` writes them; a test compares them with the
-- program.
CREATE OR REPLACE FUNCTION ledger.executors() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT '{noop,radar}'::text[]
$$;
