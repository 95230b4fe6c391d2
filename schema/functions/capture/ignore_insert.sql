-- ledger.ignore_insert: accepts a row and keeps nothing of it.
--
-- Returns  null: no row was inserted.
-- Locks    none.
-- Used by  ops_policy_audit.
CREATE OR REPLACE FUNCTION ledger.ignore_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN NULL;
END
$$;
ALTER FUNCTION ledger.ignore_insert() OWNER TO opsledger_owner;
