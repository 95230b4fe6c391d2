-- ledger.events_in_database: the events in the database, and the copies of archived events (ledger.kept_events).
--
-- Used by  policy_changes; the loop, for the last valid version of a policy; restore, to identify the ledger.
CREATE OR REPLACE VIEW ledger.events_in_database AS
SELECT e.* FROM ledger.events AS e
UNION ALL
SELECT s.* FROM ledger.kept_events AS s;
