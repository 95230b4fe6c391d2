-- ops_set_updated_at: the predecessor's trigger function for tables of operators: a BEFORE UPDATE row trigger that sets
-- `updated_at` to the transaction's time. The eight tables do not need it. It needs no rights to opsledger, because it
-- runs as the role that writes the operators' table.
CREATE OR REPLACE FUNCTION public.ops_set_updated_at() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
ALTER FUNCTION public.ops_set_updated_at() OWNER TO opsledger_owner;
