-- ledger.expect_rows: aborts a transaction whose UPDATE found fewer rows with the expected versions than it should.
--
-- Raises   serialization_failure: the engine has lost a race, and runs the command again.
-- Used by  every UPDATE of a projection by the engine. The check is in the database, because COMMIT is in the same
--          round trip. SET search_path would take longer than the function, so the operator has its schema instead.
CREATE OR REPLACE FUNCTION ledger.expect_rows(written bigint, expected integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF written OPERATOR(pg_catalog.<>) expected THEN
        RAISE EXCEPTION 'wrote % rows instead of %: another transaction has changed a row',
            written, expected USING ERRCODE = 'serialization_failure', HINT = 'Run the command again.';
    END IF;
END
$$;
