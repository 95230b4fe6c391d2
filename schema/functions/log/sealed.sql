-- ledger.sealed: the greatest sealed entry in the caller's snapshot, or 0 before the first seal.
--
-- Used by  every reader of the sealed prefix, on a standby too. Write `entry <= (SELECT ledger.sealed())`; without the
--          subquery, a scan may call it for every row.
CREATE OR REPLACE FUNCTION ledger.sealed() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce((SELECT max(c.entry) FROM ledger.checkpoints AS c), 0)
$$;
