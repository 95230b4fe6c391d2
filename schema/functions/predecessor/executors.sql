-- ledger.executors: the names that a step may be run by; the same that the binary knows.
--
-- Returns  the names, sorted. A test compares them with the list of the program, Executors.swift.
-- Locks    none.
-- Used by  template_steps.
CREATE OR REPLACE FUNCTION ledger.executors() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT '{noop,radar}'::text[]
$$;
ALTER FUNCTION ledger.executors() OWNER TO opsledger_owner;
