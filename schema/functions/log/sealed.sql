-- ledger.sealed: the greatest entry that the caller's snapshot knows as sealed.
--
-- Returns  an entry number, 0 before the first seal. Anything up to it can be read in the same snapshot.
-- Locks    none.
-- Used by  every reader of the sealed prefix, on a replica too. Write
--          `entry <= (SELECT ledger.sealed())`: else a scan may call it for every row.
CREATE OR REPLACE FUNCTION ledger.sealed() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce((SELECT max(c.entry) FROM ledger.checkpoints AS c), 0)
$$;
ALTER FUNCTION ledger.sealed() OWNER TO opsledger_owner;
