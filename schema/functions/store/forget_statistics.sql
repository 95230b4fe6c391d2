-- ledger.forget_statistics: takes the server's samples of columns anew, of the eight tables and of all in schema ledger
-- but the log, whose json columns have none.
--
-- PostgreSQL keeps common values and histograms of each column, which whoever reads the table can see in pg_stats.
-- ANALYZE replaces them, but not of a table that has become empty, and by an owner of the table only. They are therefore
-- deleted first, of the table, of indexes with expressions, and of extended statistics, and then made again.
--
-- Returns  nothing. Does nothing where nothing was ever erased.
-- Locks    SHARE UPDATE EXCLUSIVE on each table: an ANALYZE that still has the old rows ends before, and nobody who reads
--          or writes waits.
-- Used by  erase, after its commit; restore. As its owner, the installing superuser; only the keeper may call it.
CREATE OR REPLACE FUNCTION ledger.forget_statistics() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target regclass;
BEGIN
    IF NOT EXISTS (SELECT FROM ledger.erasures) THEN
        RETURN;
    END IF;
    FOR target IN
        SELECT t.name FROM (
            SELECT to_regclass('public.' || c.relation) FROM ledger.captured_columns() AS c
            UNION SELECT c.oid::regclass FROM pg_class AS c
            WHERE c.relnamespace = 'ledger'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition) AS t(name)
        WHERE t.name IS NOT NULL ORDER BY 1
    LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE', target);
        DELETE FROM pg_statistic AS s
        WHERE s.starelid = target
            OR s.starelid IN (SELECT i.indexrelid FROM pg_index AS i WHERE i.indrelid = target);
        DELETE FROM pg_statistic_ext_data AS d USING pg_statistic_ext AS e
        WHERE e.stxrelid = target AND d.stxoid = e.oid;
        EXECUTE format('ANALYZE %s', target);
    END LOOP;
END
$$;
