-- ledger.place: which database of which cluster this is; a dump carries neither.
CREATE OR REPLACE FUNCTION ledger.place() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT (pg_control_system()).system_identifier || '/' || d.oid
    FROM pg_database AS d WHERE d.datname = current_database()
$$;
ALTER FUNCTION ledger.place() OWNER TO opsledger_owner;

-- ledger.home: the mark of where this database lives now: cluster, database and timeline. Not on a replica.
CREATE OR REPLACE FUNCTION ledger.home() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT hashtextextended(ledger.place() || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8), 0)
$$;
ALTER FUNCTION ledger.home() OWNER TO opsledger_owner;

-- ledger.require_home: refuses where this database is not the one that was settled.
--
-- Sets     opsledger.place, for the session, which cannot move to another database; the timeline can change
--          under a session, and is looked at each time (0.4 us; the cluster's identifier would be 8).
-- Used by  draw and seal, before anything they do counts. Each name has its schema, as in draw.
CREATE OR REPLACE FUNCTION ledger.require_home() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    place pg_catalog.text := pg_catalog.current_setting('opsledger.place', true);
BEGIN
    IF place IS NULL OR place OPERATOR(pg_catalog.=) '' THEN
        place := ledger.place();
        place := pg_catalog.set_config('opsledger.place', place, false);
    END IF;
    IF pg_catalog.hashtextextended(place OPERATOR(pg_catalog.||) '/' OPERATOR(pg_catalog.||)
            pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8), 0)
        OPERATOR(pg_catalog.<>) pg_catalog.pg_sequence_last_value('ledger.home_sequence')
    THEN
        PERFORM ledger.refuse_home();
    END IF;
END
$$;
ALTER FUNCTION ledger.require_home() OWNER TO opsledger_owner;

-- The keeper records the end of a restore while nobody else may record anything.
CREATE OR REPLACE FUNCTION ledger.refuse_home() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_sequence_last_value('ledger.home_sequence') = 0 THEN
        IF current_setting('role') = 'opsledger_keeper' THEN
            RETURN;
        END IF;
        RAISE EXCEPTION 'OPS_015: the store holds history that this database lacks'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Bring it back with `opsledger restore`; until then nothing is recorded here.';
    END IF;
    RAISE EXCEPTION 'OPS_015: this database is a copy, an old one put back, or a promoted standby'
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Settle it with `opsledger restore`, with the store at hand, or with --why where there is none.';
END
$$;
ALTER FUNCTION ledger.refuse_home() OWNER TO opsledger_owner;

-- ledger.skip_numbers: the next number that is drawn here is above the one named.
--
-- Used by  restore, before it records its end. As its owner, the installing superuser.
CREATE OR REPLACE FUNCTION ledger.skip_numbers(above bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF above > pg_sequence_last_value('ledger.entry_sequence') THEN
        PERFORM setval('ledger.entry_sequence', above);
    END IF;
END
$$;

-- ledger.settle_home: this database is where the ledger lives from now on; its next number is above the one named.
--
-- Locks    none. Numbers and the mark change at once, for all sessions, whatever becomes of the transaction.
-- Used by  init, restore. As its owner, the installing superuser: nobody else sets the sequence.
CREATE OR REPLACE FUNCTION ledger.settle_home(above bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger.skip_numbers(above);
    PERFORM setval('ledger.home_sequence', ledger.home());
END
$$;

-- ledger.mark_home: the store was seen to hold what this database lacks: nothing is recorded until that is settled.
--
-- Used by  push. What it stops, restore begins again.
CREATE OR REPLACE FUNCTION ledger.mark_home() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT setval('ledger.home_sequence', 0)
$$;
ALTER FUNCTION ledger.mark_home() OWNER TO opsledger_owner;
