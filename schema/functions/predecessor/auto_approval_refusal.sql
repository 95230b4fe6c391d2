-- ledger.auto_approval_refusal: why a template is not auto-approved, or null if it is. A broken or missing policy
-- auto_approve counts as off.
--
-- Raises   the errors of ledger.template_steps.
-- Used by  ops_is_auto_approvable, submit.
CREATE OR REPLACE FUNCTION ledger.auto_approval_refusal(template jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    policy jsonb;
    fault text;
    levels CONSTANT text[] := '{low,medium,high}';
    risk CONSTANT text := coalesce(template ->> 'risk_level', 'medium');
    step record;
    words text;
BEGIN
    SELECT p.value INTO policy FROM public.ops_policy AS p WHERE p.key = 'auto_approve';
    fault := ledger.policy_fault('auto_approve', policy);
    FOR step IN SELECT t.kind, t.executor FROM ledger.template_steps(template) AS t LOOP
        words := coalesce(words, CASE
            WHEN policy IS NULL OR fault IS NOT NULL THEN NULL
            WHEN policy ? 'allowed_step_kinds' AND NOT policy -> 'allowed_step_kinds' ? step.kind
                THEN format('step kind %s is not in allowed_step_kinds', step.kind)
            WHEN NOT coalesce(policy -> 'allowed_executors', policy -> 'allowed_step_kinds')
                    ? step.executor
                THEN format('executor %s is not in allowed_executors', step.executor) END);
    END LOOP;
    RETURN CASE
        WHEN policy IS NULL THEN 'there is no policy auto_approve'
        WHEN fault IS NOT NULL THEN 'auto_approve counts as off, since it is broken: ' || fault
        WHEN (policy -> 'enabled') IS DISTINCT FROM 'true' THEN 'auto_approve is not enabled'
        WHEN array_position(levels, risk) > array_position(levels, policy ->> 'max_risk_level')
            THEN format('risk %s is above max_risk_level %s', risk, policy ->> 'max_risk_level')
        ELSE words END;
END
$$;
