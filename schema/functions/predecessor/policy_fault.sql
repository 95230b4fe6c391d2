-- ledger.policy_fault: the first fault in a policy's value, with the field's name, by the rules of the engine.
--
-- Returns  a sentence; null if the value is valid, or if this list does not have the key. Policies.swift has the same
--          rules. Its sentences name a wrong number inside of an object; these name the object.
-- Used by  gate, auto_approval_refusal, submit, vote_rules, worker_rules, halted. A policy that a manual change broke
--          allows nothing new: they take the safe default, or the last valid version.
CREATE OR REPLACE FUNCTION ledger.policy_fault(policy_key text, value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE WHEN jsonb_typeof(value) IS DISTINCT FROM 'object'
        THEN 'policy ' || policy_key || ' is not an object'
        ELSE (
            SELECT 'policy ' || policy_key || ': ' || f.field || ' is not ' || f.expected
            FROM (VALUES
                (1, 'auto_approve', 'enabled', 'true or false'),
                (2, 'auto_approve', 'allowed_step_kinds', 'a list of texts'),
                (3, 'auto_approve', 'allowed_executors', 'a list of texts'),
                (4, 'auto_approve', 'max_risk_level', 'one of low, medium, high'),
                (1, 'proposal_caps', 'daily_limit', 'a whole number of 0 or more'),
                (2, 'proposal_caps', 'per_source', 'an object of sources and whole numbers of 0 or more'),
                (3, 'proposal_caps', 'per_source_limits',
                    'an object of sources and whole numbers of 0 or more'),
                (1, 'voting_policy', 'enabled', 'true or false'),
                (2, 'voting_policy', 'thresholds', 'an object of risks and whole numbers from 1 to 100'),
                (3, 'voting_policy', 'required_voters', 'a list of texts'),
                (4, 'voting_policy', 'veto', 'true or false'),
                (5, 'voting_policy', 'deadline_minutes', 'a number above 0 and below 1000000'),
                (1, 'worker_policy', 'max_retries', 'a whole number of 0 or more'),
                (2, 'worker_policy', 'lease_minutes', 'a number above 0 and below 1000000'),
                (3, 'worker_policy', 'allowed_executors', 'a list of texts'),
                (4, 'worker_policy', 'blocked_executors', 'a list of texts'),
                (1, 'loop', 'state', 'running or halted')
            ) AS f (n, policy, field, expected)
            WHERE f.policy = policy_key AND NOT ledger.policy_field_fits(value -> f.field, f.expected)
            ORDER BY f.n LIMIT 1
        ) END;
END
$$;
