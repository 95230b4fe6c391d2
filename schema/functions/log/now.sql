-- ledger.now: the only clock. A test or the demo may replace this function by a clock that it can move. Applying the
-- schema again puts this one back.
--
-- Returns  the time of the call, not of the transaction's start.
-- Used by  allocate_entry, seal, and everything else that needs a time. It is plain SQL without settings, so it is
--          inlined.
CREATE OR REPLACE FUNCTION ledger.now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT pg_catalog.clock_timestamp()
$$;
