-- ledger.confirmed_archived_partitions: the rows of ledger.archived_partitions that the log agrees with: it has no event that is said to
-- have left.
--
-- Returns  the rows.
-- Locks    none. Looks at the log's first event.
-- Used by  every reader of the whole log.
CREATE OR REPLACE FUNCTION ledger.confirmed_archived_partitions() RETURNS SETOF ledger.archived_partitions
LANGUAGE sql STABLE AS $$
    SELECT d.* FROM ledger.archived_partitions AS d
    WHERE (SELECT min(e.entry) FROM ledger.events AS e WHERE e.entry <= d.last) IS NULL
$$;
ALTER FUNCTION ledger.confirmed_archived_partitions() OWNER TO opsledger_owner;
