-- ledger.events_in_database: the log that is here, and of what has left it the events of policies and of the ledger.
--
-- Used by  policy_changes; the loop, for the last valid version of a policy; restore, for whose log this is.
CREATE OR REPLACE VIEW ledger.events_in_database AS
SELECT e.* FROM ledger.events AS e
UNION ALL
SELECT s.* FROM ledger.kept_events AS s;
ALTER VIEW ledger.events_in_database OWNER TO opsledger_owner;
