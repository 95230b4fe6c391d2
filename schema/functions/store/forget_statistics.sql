-- ledger.forget_statistics: deletes the server's column statistics, and makes them again, for the eight tables and for
-- schema ledger without the log, whose json columns have none. Does nothing if nothing was ever erased.
--
-- PostgreSQL keeps common values and histograms of each column, and shows them in pg_stats to everybody who may read
-- the table. ANALYZE replaces them, but not those of an empty table. They are therefore deleted first: those of the
-- table, of its indexes on expressions, and of extended statistics.
--
-- Locks    SHARE UPDATE EXCLUSIVE on each table, which waits for an ANALYZE that still sees the old rows. Nobody who
--          reads or writes waits.
-- Used by  erase, after its commit; restore. It runs as its owner, the installing superuser. Only the repair role may
--          call it.
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
