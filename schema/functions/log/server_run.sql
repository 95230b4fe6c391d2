-- ledger.server_run: names this database in this run of its server.
CREATE OR REPLACE FUNCTION ledger.server_run() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.oid || '/' || extract(epoch FROM pg_postmaster_start_time())
    FROM pg_database AS d WHERE d.datname = current_database()
$$;
ALTER FUNCTION ledger.server_run() OWNER TO opsledger_owner;

-- ledger.pushed_since_start: whether this database has pushed since its server was started.
--
-- Then it is not an old copy of itself: a copy of its files is started as a server of its own, and a row that was
-- loaded from a dump was not inserted by the transaction that it names. What a store claims to have beyond such a
-- database's log is not this database's history.
--
-- Returns  false where it cannot be known.
-- Locks    none. Reads all checkpoints.
-- Used by  push, before it believes a store that claims more than the database has.
CREATE OR REPLACE FUNCTION ledger.pushed_since_start() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM ledger.checkpoints AS c WHERE c.recorded_in = ledger.server_run() || '/' || c.xmin)
$$;
ALTER FUNCTION ledger.pushed_since_start() OWNER TO opsledger_owner;
