-- ledger.confirmed_archived_partitions: the rows of ledger.archived_partitions that the log confirms: it has no event
-- of that partition.
--
-- Used by  every reader of the whole log. It reads only the log's first event.
CREATE OR REPLACE FUNCTION ledger.confirmed_archived_partitions() RETURNS SETOF ledger.archived_partitions
LANGUAGE sql STABLE AS $$
    SELECT d.* FROM ledger.archived_partitions AS d
    WHERE (SELECT min(e.entry) FROM ledger.events AS e WHERE e.entry <= d.last) IS NULL
$$;
