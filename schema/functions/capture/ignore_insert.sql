-- ledger.ignore_insert: the trigger of the view ops_policy_audit, which accepts a row and stores nothing.
CREATE OR REPLACE FUNCTION ledger.ignore_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN NULL;
END
$$;
