-- Erasure: which transactions may take content off the log, and what was erased.
--
-- Locks    none that others wait for.
-- Used by  erase_content; refuse_change; push, for stores that still have it.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0017_erasure.sql') THEN
        RETURN;
    END IF;

    -- Transactions that may erase. It stays with the installing superuser, so that no role of ours can permit
    -- itself anything; a row that is left behind fits no transaction. All may read it, as the guards do.
    CREATE TABLE ledger.erasure_permits (
        xid xid8 NOT NULL,
        CONSTRAINT erasure_permits_pkey PRIMARY KEY (xid)
    );
    GRANT SELECT ON ledger.erasure_permits TO PUBLIC;

    -- The entry that erased a stream last: what its events before that held is nowhere. Made again by restore.
    CREATE TABLE ledger.erasures (
        stream uuid NOT NULL,
        entry bigint NOT NULL,
        CONSTRAINT erasures_pkey PRIMARY KEY (stream)
    );
    ALTER TABLE ledger.erasures OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0017_erasure.sql', '0.1.0');
END $migration$;
