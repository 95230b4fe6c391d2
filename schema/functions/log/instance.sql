-- ledger.place: which database of which cluster this is; a dump carries neither.
CREATE OR REPLACE FUNCTION ledger.place() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT (pg_control_system()).system_identifier || '/' || d.oid
    FROM pg_database AS d WHERE d.datname = current_database()
$$;
ALTER FUNCTION ledger.place() OWNER TO opsledger_owner;

-- ledger.current_mark: the mark of where this database lives now: cluster, database and timeline. Not on a replica.
CREATE OR REPLACE FUNCTION ledger.current_mark() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT hashtextextended(left(pg_walfile_name(pg_current_wal_lsn()), 8), hashtextextended(ledger.place(), 0))
$$;
ALTER FUNCTION ledger.current_mark() OWNER TO opsledger_owner;

-- ledger.has_history: whether anything was ever recorded here: a database without a mark of home is a copy then.
CREATE OR REPLACE FUNCTION ledger.has_history() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ledger.events) OR EXISTS (SELECT FROM ledger.archived_partitions)
$$;
ALTER FUNCTION ledger.has_history() OWNER TO opsledger_owner;

-- ledger.require_instance: refuses where this database is not the one that was settled. Where no database was yet, and
-- nothing is recorded, this one is: a schema that was laid by hand.
--
-- Reading the cluster's identifier takes 8 us, so a backend keeps its mark, which cannot change under it: a server goes
-- to another timeline before its sessions may write. It keeps it as the current value (currval) of
-- ledger.session_mark: only that sequence's owner can set it, each backend has its own, and no client can forge it.
--
-- Sets     opsledger.backend, for the session: the backend's pid, where currval is set. Nothing is believed from it:
--          currval has no value to ask for where nobody set one, and raises an error.
-- Used by  draw and seal, before anything they do counts.
CREATE OR REPLACE FUNCTION ledger.require_instance() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here bigint;
    current_mark CONSTANT bigint := pg_sequence_last_value('ledger.instance_mark');
BEGIN
    IF (CASE WHEN current_setting('opsledger.backend', true) = pg_backend_pid()::text
        THEN currval('ledger.session_mark') = current_mark END)
    THEN
        RETURN;
    END IF;
    here := ledger.current_mark();
    PERFORM setval('ledger.session_mark', here);
    PERFORM set_config('opsledger.backend', pg_backend_pid()::text, false);
    -- It was never set, or a superuser set it to begin anew.
    IF current_mark IS NULL AND NOT ledger.has_history() THEN
        PERFORM setval('ledger.instance_mark', here);
    ELSIF here IS DISTINCT FROM current_mark THEN
        PERFORM ledger.refuse_stale();
    END IF;
END
$$;
ALTER FUNCTION ledger.require_instance() OWNER TO opsledger_owner;

-- The keeper records the end of a restore while nobody else may record anything.
CREATE OR REPLACE FUNCTION ledger.refuse_stale() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_sequence_last_value('ledger.instance_mark') = 0 THEN
        IF current_setting('role') = 'opsledger_repair' THEN
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
ALTER FUNCTION ledger.refuse_stale() OWNER TO opsledger_owner;

-- ledger.skip_numbers: the next number that is drawn here is above the one named. What is skipped is gone for good, so
-- it is at most half of what is left after the last entry.
--
-- Used by  restore, before it records its end. As its owner, the installing superuser.
CREATE OR REPLACE FUNCTION ledger.skip_numbers(above bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at CONSTANT bigint := coalesce(pg_sequence_last_value('ledger.entry_sequence'), 0);
    reached CONSTANT bigint := greatest(at, (SELECT max(e.entry) FROM ledger.events AS e));
    ends CONSTANT bigint := (SELECT s.seqmax FROM pg_sequence AS s WHERE s.seqrelid = 'ledger.entry_sequence'::regclass);
BEGIN
    IF above > reached + greatest((ends - reached) / 2, 1) THEN
        RAISE EXCEPTION 'OPS_014: entry numbers stand at %, and skip at most half of what is left to %: not to %',
            reached, ends, above
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Numbers that were skipped never come back.';
    END IF;
    IF above > at THEN
        PERFORM setval('ledger.entry_sequence', above);
    END IF;
END
$$;

-- ledger.take_seals_off: takes away the seals above an entry, which no numbers of this log can have reached.
--
-- Locks    the rows that it takes away.
-- Used by  init. As its owner, the installing superuser: no role may change the table.
CREATE OR REPLACE FUNCTION ledger.take_seals_off(above bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.erasure_permits VALUES (pg_current_xact_id());
    DELETE FROM ledger.checkpoints AS c WHERE c.entry > above;
    DELETE FROM ledger.erasure_permits AS p WHERE p.xid = pg_current_xact_id();
END
$$;

-- ledger.recount_seals: sets right how many events seals count: so many more from each of these entries on. They were
-- counted while some were missing, or by somebody else.
--
-- Locks    the rows that it changes.
-- Used by  restore, rebuild. As its owner, the installing superuser: no role may change the table.
CREATE OR REPLACE FUNCTION ledger.recount_seals(entries bigint[], more bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.erasure_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    WITH gone AS (
        DELETE FROM ledger.checkpoints AS c
        WHERE c.root IS NULL AND c.size IS NOT NULL AND c.entry >= (SELECT min(m.entry) FROM unnest(entries) AS m(entry))
        RETURNING c.*
    )
    INSERT INTO ledger.checkpoints (entry, sealed_at, size, note, recorded_in)
    SELECT g.entry, g.sealed_at,
        g.size + (SELECT sum(m.more)::bigint FROM unnest(entries, more) AS m(entry, more) WHERE m.entry <= g.entry),
        g.note, g.recorded_in
    FROM gone AS g;
    DELETE FROM ledger.erasure_permits AS p WHERE p.xid = pg_current_xact_id();
END
$$;

-- ledger.adopt_instance: this database is where the ledger lives from now on; its next number is above the one named.
--
-- Locks    none. Numbers and the mark change at once, for all sessions, whatever becomes of the transaction.
-- Used by  init, restore. As its owner, the installing superuser: nobody else sets the sequence.
CREATE OR REPLACE FUNCTION ledger.adopt_instance(above bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger.skip_numbers(above);
    PERFORM setval('ledger.instance_mark', ledger.current_mark());
END
$$;

-- ledger.mark_stale: the store was seen to hold what this database lacks: nothing is recorded until that is settled.
--
-- Used by  push. What it stops, restore begins again.
CREATE OR REPLACE FUNCTION ledger.mark_stale() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT setval('ledger.instance_mark', 0)
$$;
ALTER FUNCTION ledger.mark_stale() OWNER TO opsledger_owner;
