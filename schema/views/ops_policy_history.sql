-- ops_policy_history: the runbook's policy rollback reads it. From the log, so nobody has to keep it.
--
-- Owner    opsledger_owner, whose rights it reads the log with: a grant on the view is enough.
-- Used by  hands, by the runbook.
CREATE OR REPLACE VIEW public.ops_policy_history AS
SELECT c.key, c.version, c.recorded_at AS updated_at, c.value
FROM ledger.policy_changes AS c
WHERE c.type <> 'policy.removed';
ALTER VIEW public.ops_policy_history OWNER TO opsledger_owner;
