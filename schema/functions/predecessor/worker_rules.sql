-- ledger.worker_rules: what policy worker_policy says, or said last where a hand broke or removed it.
--
-- Returns  attempts in all (3 where the policy does not say), what may run (null: all) and what may not;
--          readable is false where nobody can tell what is blocked: then nothing may run.
-- Locks    none.
-- Used by  ops_claim_next_step, fail_attempt.
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
ALTER FUNCTION ledger.worker_rules() OWNER TO opsledger_owner;
