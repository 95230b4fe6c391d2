-- ledger.executors: the names of the executors, sorted. A test compares them with Executors.swift.
CREATE OR REPLACE FUNCTION ledger.executors() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT '{noop,radar}'::text[]
$$;
