-- ledger.worker_rules: the rules of policy worker_policy, or of its last valid version if a manual change broke it or
-- removed it.
--
-- Returns  the attempts of a step (3 if the policy has no number), the allowed executors (null for all), and the
--          blocked ones. readable is false if the policy exists and no version is valid: then no step may run.
-- Used by  next_step, fail_attempt.
CREATE OR REPLACE FUNCTION ledger.worker_rules(
    OUT attempts_max integer, OUT allowed jsonb, OUT blocked jsonb, OUT readable boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    policy jsonb;
    present boolean;
BEGIN
    SELECT p.value INTO policy FROM public.ops_policy AS p WHERE p.key = 'worker_policy';
    present := FOUND;
    IF ledger.policy_fault('worker_policy', policy) IS NOT NULL THEN
        SELECT h.value INTO policy FROM public.ops_policy_history AS h
        WHERE h.key = 'worker_policy' AND ledger.policy_fault('worker_policy', h.value) IS NULL
        ORDER BY h.version DESC LIMIT 1;
    END IF;
    readable := policy IS NOT NULL OR NOT present;
    attempts_max := coalesce(ledger.json_whole(policy -> 'max_retries'), 3);
    allowed := policy -> 'allowed_executors';
    blocked := coalesce(policy -> 'blocked_executors', '[]');
END
$$;
