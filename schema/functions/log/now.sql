-- ledger.now: the one clock. A test or demo database may replace this function by one that can be
-- moved (laying the schema again puts this one back); nothing else of ours asks what time it is.
--
-- Returns  the time of this very call, not of the transaction's start.
-- Locks    none.
-- Used by  draw, seal. Plain SQL without settings, so that it is inlined there.
CREATE OR REPLACE FUNCTION ledger.now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT pg_catalog.clock_timestamp()
$$;
ALTER FUNCTION ledger.now() OWNER TO opsledger_owner;
