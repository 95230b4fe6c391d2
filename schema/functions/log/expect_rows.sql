-- ledger.expect_rows: aborts a transaction that wrote fewer rows than it meant to.
--
-- Returns  nothing, or raises serialization_failure: whoever lost a race loads and decides again.
-- Locks    none.
-- Used by  every UPDATE of a projection by the engine, which names the version that it expects. The
--          check is in the database since COMMIT is in the same round trip. Without SET search_path, which
--          costs more than all of it, and with the operator's schema instead.
CREATE OR REPLACE FUNCTION ledger.expect_rows(written bigint, expected integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF written OPERATOR(pg_catalog.<>) expected THEN
        RAISE EXCEPTION 'wrote % rows where % were expected: another transaction was quicker',
            written, expected USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;
ALTER FUNCTION ledger.expect_rows(bigint, integer) OWNER TO opsledger_owner;
