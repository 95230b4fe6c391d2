-- Takes back the permit to change schema ledger (0001_roles.sql).
DELETE FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id();
