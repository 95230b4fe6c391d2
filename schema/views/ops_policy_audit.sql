-- ops_policy_audit: the runbook's audit table, from the log.
--
-- A trigger of the runbook inserts here on every change of a policy. The change is recorded already, so an INSERT does
-- nothing.
--
-- Owner    opsledger_owner, with whose rights the view reads the log. A grant on the view is enough.
-- Used by  people, with the runbook.
CREATE OR REPLACE VIEW public.ops_policy_audit AS
SELECT ledger.uuid_v5(c.stream, c.version::text) AS id,
    c.key AS policy_key,
    lag(c.value) OVER (PARTITION BY c.stream ORDER BY c.version) AS old_value,
    c.value AS new_value,
    c.actor AS changed_by,
    c.recorded_at AS changed_at
FROM ledger.policy_changes AS c;
ALTER VIEW public.ops_policy_audit OWNER TO opsledger_owner;

CREATE OR REPLACE TRIGGER already_on_the_record INSTEAD OF INSERT ON public.ops_policy_audit
FOR EACH ROW EXECUTE FUNCTION ledger.ignore_insert();
