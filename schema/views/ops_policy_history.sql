-- ops_policy_history: the earlier values of policies, from the log, for the runbook's policy rollback.
--
-- Owner    opsledger_owner, with whose rights the view reads the log. A grant on the view is enough.
-- Used by  people, with the runbook; ledger.worker_rules.
CREATE OR REPLACE VIEW public.ops_policy_history AS
SELECT c.key, c.version, c.recorded_at AS updated_at, c.value
FROM ledger.policy_changes AS c
WHERE c.type <> 'policy.removed';
ALTER VIEW public.ops_policy_history OWNER TO opsledger_owner;
