-- ledger.require_read_committed: raises 25001 in a transaction whose snapshot can be older than its locks.
--
-- A function that waited for a lock must see the rows that the lock's holder wrote, because it counts proposals, votes
-- or missions. In REPEATABLE READ and SERIALIZABLE it would count the rows from before.
--
-- Used by  the ops_ functions that lock and then count; seal; TRUNCATE of the eight tables, which records each row.
CREATE OR REPLACE FUNCTION ledger.require_read_committed(what text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'OPS_019: % needs READ COMMITTED, but this transaction is %', what,
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'active_sql_transaction',
                HINT = 'An older snapshot would hide rows. Run it in another transaction.';
    END IF;
END
$$;
