-- ledger.policy_changes: every value that a policy has had, from the log, also of removed policies.
--
-- It takes the streams from the existing policies and the tombstones, and their events by (stream, version). Its cost
-- depends on the number of policies and changes, not on the size of the log.
--
-- Used by  ops_policy_history, ops_policy_audit.
CREATE OR REPLACE VIEW ledger.policy_changes AS
SELECT c.stream, c.version, c.entry, c.type, c.recorded_at, c.actor,
    max(c.key) OVER (PARTITION BY c.stream) AS key,
    c.value
FROM (
    SELECT e.stream, e.version, e.entry, e.type, e.recorded_at, e.actor,
        coalesce(e.data ->> 'key', e.data -> 'columns' ->> 'key') AS key,
        ledger.capture_unwrap(CASE e.type
            WHEN 'policy.set' THEN e.data -> 'value'
            WHEN 'policy.inserted' THEN e.data -> 'columns' -> 'value'
            WHEN 'policy.amended' THEN e.data -> 'changes' -> 'value' -> 1
        END) AS value
    FROM (
        SELECT ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' || p.key) AS stream
        FROM public.ops_policy AS p
        UNION
        SELECT t.stream FROM ledger.tombstones AS t WHERE t.row_type = 'policy'
    ) AS s
    JOIN ledger.events_in_database AS e USING (stream)
    WHERE e.type IN ('policy.set', 'policy.inserted', 'policy.removed')
       OR e.type = 'policy.amended' AND e.data -> 'changes' -> 'value' IS NOT NULL
) AS c;
