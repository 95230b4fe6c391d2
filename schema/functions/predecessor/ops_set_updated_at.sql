-- ops_set_updated_at: the origin's trigger function, for tables of one's own. The eight tables do not need
-- it: what changes them sets `updated_at`.
--
-- Returns  the row with `updated_at`, the transaction's time, whatever the client sent.
-- Locks    none.
-- Used by  BEFORE UPDATE row triggers of operators. Whoever writes such a table runs it, so it asks for no
--          right of ours.
CREATE OR REPLACE FUNCTION public.ops_set_updated_at() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
ALTER FUNCTION public.ops_set_updated_at() OWNER TO opsledger_owner;
