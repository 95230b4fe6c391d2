-- ledger.require_read_committed: refuses to decide by a snapshot that is older than the lock.
--
-- Who waited for a lock must see what its holder wrote: caps, votes and "one mission a proposal" are
-- counted after it. In REPEATABLE READ and SERIALIZABLE the count is of before.
--
-- Returns  nothing, or raises 25001.
-- Locks    none.
-- Used by  the ops_ functions that lock and then count.
CREATE OR REPLACE FUNCTION ledger.require_read_committed(function_name text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'OPS_019: % needs READ COMMITTED, this transaction is %', function_name,
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'active_sql_transaction',
                HINT = 'It counts after it has waited for a lock; an older snapshot would count less.';
    END IF;
END
$$;
ALTER FUNCTION ledger.require_read_committed(text) OWNER TO opsledger_owner;
