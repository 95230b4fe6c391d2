-- ops_is_auto_approvable: whether a template needs nobody's approval.
--
-- Returns  true or false: false too for a template that cannot run at all, and while policy auto_approve is
--          absent or broken. A missing risk_level is medium, and the executor is asked for like the kind.
-- Locks    none.
-- Used by  the origin's clients.
CREATE OR REPLACE FUNCTION public.ops_is_auto_approvable(p_template jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN ledger.auto_approval_refusal(p_template) IS NULL;
EXCEPTION WHEN raise_exception THEN
    RETURN false;
END
$$;
ALTER FUNCTION public.ops_is_auto_approvable(jsonb) OWNER TO opsledger_owner;
