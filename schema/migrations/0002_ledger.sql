-- Schemas ledger and ledger_guard, with the tables about the schema itself: migrations, permits, definitions.
--
-- Used by  init, doctor, the guards; every later migration records itself here.

DO $migration$ BEGIN
    IF to_regclass('ledger.migrations') IS NOT NULL THEN
        RETURN;
    END IF;

    CREATE SCHEMA ledger AUTHORIZATION opsledger_owner;

    -- The migrations that were applied. The digest is null if psql applied the file, until `init` fills it in.
    CREATE TABLE ledger.migrations (
        name text NOT NULL,
        sha256 bytea,
        oldest_binary text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT migrations_pkey PRIMARY KEY (name),
        CONSTRAINT a_digest_is_sha256 CHECK (octet_length(sha256) = 32)
    );

    -- Transactions that may change schema ledger. The installing superuser owns the table, so that no role of opsledger
    -- can give itself a permit. A row that is left behind belongs to no later transaction.
    CREATE TABLE ledger.ddl_permits (
        xid xid8 NOT NULL,
        CONSTRAINT ddl_permits_pkey PRIMARY KEY (xid)
    );
    INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id());

    -- Transactions that may erase content of the log. The installing superuser owns it for the same reason. Everybody
    -- may read it, because the guards read it as the caller.
    CREATE TABLE ledger.erasure_permits (
        xid xid8 NOT NULL,
        CONSTRAINT erasure_permits_pkey PRIMARY KEY (xid)
    );
    GRANT SELECT ON ledger.erasure_permits TO PUBLIC;

    -- 0001 ran before there was a place to record it.
    INSERT INTO ledger.migrations (name, oldest_binary)
    VALUES ('0001_roles.sql', '0.1.0'), ('0002_ledger.sql', '0.1.0');
END $migration$;

-- This table comes first: init repairs the other tables from it.
DO $definitions$ BEGIN
    IF to_regclass('ledger_guard.definitions') IS NOT NULL THEN
        RETURN;
    END IF;

    -- The guards of schema ledger are in a schema of their own, which the installing superuser owns. The owner of a
    -- schema may drop everything in it, and DROP SCHEMA ledger CASCADE would drop its own guard.
    CREATE SCHEMA IF NOT EXISTS ledger_guard;

    -- The objects of the schema as init created them, in facts of the catalogue. doctor and init compare them with what
    -- exists. Only init writes the table. The installing superuser owns it, so that no role of opsledger can change it.
    CREATE TABLE ledger_guard.definitions (
        object text NOT NULL,  -- 'function ledger.allocate_entry()'; each partition of the log is 'table ledger.events_p*'
        fact text NOT NULL,
        value text NOT NULL,
        CONSTRAINT definitions_pkey PRIMARY KEY (object, fact)
    );
END $definitions$;
