-- Schemas ledger and ledger_guard, and what the schema says about itself: migrations, permits, definitions.
--
-- Locks    none that others wait for.
-- Used by  init, doctor, the guards; every later migration records itself here.

DO $migration$ BEGIN
    IF to_regclass('ledger.migrations') IS NOT NULL THEN
        RETURN;
    END IF;

    CREATE SCHEMA ledger AUTHORIZATION opsledger_owner;

    -- What has been applied. The digest is null when psql laid it: `init` adopts it and fills that in.
    CREATE TABLE ledger.migrations (
        name text NOT NULL,
        sha256 bytea,
        oldest_binary text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT migrations_pkey PRIMARY KEY (name),
        CONSTRAINT a_digest_is_sha256 CHECK (octet_length(sha256) = 32)
    );
    ALTER TABLE ledger.migrations OWNER TO opsledger_owner;

    -- Transactions that may change schema ledger. It stays with the installing superuser, so that
    -- no role of ours can permit itself anything; a row that is left behind fits no transaction.
    CREATE TABLE ledger.ddl_permits (
        xid xid8 NOT NULL,
        CONSTRAINT ddl_permits_pkey PRIMARY KEY (xid)
    );
    INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id());

    -- Transactions that may take content off the log. It stays with the installing superuser for the same reason; all
    -- may read it, as the guards do.
    CREATE TABLE ledger.erasure_permits (
        xid xid8 NOT NULL,
        CONSTRAINT erasure_permits_pkey PRIMARY KEY (xid)
    );
    GRANT SELECT ON ledger.erasure_permits TO PUBLIC;

    -- 0001 ran before there was a place to record it.
    INSERT INTO ledger.migrations (name, oldest_binary)
    VALUES ('0001_roles.sql', '0.1.0'), ('0002_ledger.sql', '0.1.0');
END $migration$;

-- What nothing else can put back: the other tables are made again as it says that they were.
DO $definitions$ BEGIN
    IF to_regclass('ledger_guard.definitions') IS NOT NULL THEN
        RETURN;
    END IF;

    -- What guards schema ledger lives outside it, with the installing superuser: the owner of a schema
    -- may drop whatever is in it, and a DROP … CASCADE would take its own guard along.
    CREATE SCHEMA IF NOT EXISTS ledger_guard;

    -- What the schema laid, as facts of the catalogue, for doctor and init to compare with what is there. Written by
    -- init alone; it stays with the installing superuser, so that no role of ours can change what it should be.
    CREATE TABLE ledger_guard.definitions (
        object text NOT NULL,  -- 'function ledger.allocate_entry()'; each partition of the log is 'table ledger.events_p*'
        fact text NOT NULL,
        value text NOT NULL,
        CONSTRAINT definitions_pkey PRIMARY KEY (object, fact)
    );
END $definitions$;
