-- ops_is_auto_approvable: whether a template is auto-approved. A template that cannot run is not, and nothing is while
-- policy auto_approve is missing or broken. A missing risk_level counts as medium, and executors must be allowed too.
--
-- Used by  the predecessor's clients.
CREATE OR REPLACE FUNCTION public.ops_is_auto_approvable(p_template jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN ledger.auto_approval_refusal(p_template) IS NULL;
EXCEPTION WHEN raise_exception THEN
    RETURN false;
END
$$;
ALTER FUNCTION public.ops_is_auto_approvable(jsonb) OWNER TO opsledger_owner;
