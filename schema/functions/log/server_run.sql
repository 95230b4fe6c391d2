-- ledger.server_run: names this database together with the start time of its server.
CREATE OR REPLACE FUNCTION ledger.server_run() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.oid || '/' || extract(epoch FROM pg_postmaster_start_time())
    FROM pg_database AS d WHERE d.datname = current_database()
$$;

-- ledger.pushed_since_start: whether this database has pushed since its server started.
--
-- If it has, it is not a stale copy: the server of copied files has another start time, and a row from a dump was not
-- inserted by the transaction that it names. Entries that only the store has are then not this database's history.
--
-- Returns  false also if nobody can tell.
-- Used by  push, before it believes a store that has more entries than the database.
CREATE OR REPLACE FUNCTION ledger.pushed_since_start() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM ledger.checkpoints AS c WHERE c.recorded_in = ledger.server_run() || '/' || c.xmin)
$$;
