-- ledger.believed_departed: the rows of ledger.departed that the log agrees with: it has no event that is said to
-- have left.
--
-- Returns  the rows.
-- Locks    none. Looks at the log's first event.
-- Used by  every reader of the whole log.
CREATE OR REPLACE FUNCTION ledger.believed_departed() RETURNS SETOF ledger.departed
LANGUAGE sql STABLE AS $$
    SELECT d.* FROM ledger.departed AS d
    WHERE (SELECT min(e.entry) FROM ledger.events AS e WHERE e.entry <= d.last) IS NULL
$$;
ALTER FUNCTION ledger.believed_departed() OWNER TO opsledger_owner;
