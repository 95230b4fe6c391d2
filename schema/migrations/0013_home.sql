-- Where this database lives, so that a copy of it, an old one put back, and a promoted standby are noticed
-- before they draw numbers that another history has.
--
-- A sequence, since it is read without a query, by every draw, and set for all sessions at once: its last value is
-- the mark of the place (ledger.home). Never set: nobody has settled here yet, and nothing is refused. 0: the
-- store was seen to hold what this database lacks.
--
-- Locks    none.
-- Used by  require_home, settle_home, mark_home.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0013_home.sql') THEN
        RETURN;
    END IF;

    CREATE SEQUENCE ledger.home_sequence AS bigint
        MINVALUE -9223372036854775808 MAXVALUE 9223372036854775807 START 0 NO CYCLE;
    ALTER SEQUENCE ledger.home_sequence OWNER TO opsledger_owner;

    -- Where each backend keeps its own mark, as the sequence's current value; see ledger.require_home.
    CREATE UNLOGGED SEQUENCE ledger.place_sequence AS bigint
        MINVALUE -9223372036854775808 MAXVALUE 9223372036854775807 START 0 NO CYCLE;
    ALTER SEQUENCE ledger.place_sequence OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0013_home.sql', '0.1.0');
END $migration$;
