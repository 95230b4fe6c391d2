-- The end: this transaction may change schema ledger no longer (0001_roles.sql took the permit).
DELETE FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id();
