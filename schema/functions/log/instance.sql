-- ledger.place: names this database by its cluster's identifier and its oid. A dump contains neither.
CREATE OR REPLACE FUNCTION ledger.place() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT (pg_control_system()).system_identifier || '/' || d.oid
    FROM pg_database AS d WHERE d.datname = current_database()
$$;

-- ledger.current_mark: the instance mark, from the cluster, the database and the timeline. It cannot be called on a
-- standby.
CREATE OR REPLACE FUNCTION ledger.current_mark() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT hashtextextended(left(pg_walfile_name(pg_current_wal_lsn()), 8), hashtextextended(ledger.place(), 0))
$$;

-- ledger.has_history: whether the log has or had entries. A database with history and without a stored mark is a copy.
CREATE OR REPLACE FUNCTION ledger.has_history() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ledger.events) OR EXISTS (SELECT FROM ledger.archived_partitions)
$$;

-- ledger.require_instance: raises an error if this database does not have the stored instance mark, and so may not
-- record. If no mark is stored and the log is empty (psql applied the schema), it stores this database's mark.
--
-- Reading the cluster's identifier takes 8 us, so each backend keeps its mark. The mark cannot change meanwhile: a
-- server changes its timeline before its sessions may write. The backend keeps it as the current value (currval) of
-- ledger.session_mark. Only the owner of that sequence can set it, and each backend has its own, so no client can
-- forge it.
--
-- Sets     opsledger.backend, for the session: the backend's pid, as a sign that currval has a value. If a client
--          forges it, currval raises an error.
-- Used by  allocate_entry and seal.
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
    -- Never set, or reset by a superuser.
    IF current_mark IS NULL AND NOT ledger.has_history() THEN
        PERFORM setval('ledger.instance_mark', here);
    -- Read again: the session that appended first may have stored the mark, and committed, since the first reading.
    ELSIF here IS DISTINCT FROM pg_sequence_last_value('ledger.instance_mark') THEN
        PERFORM ledger.refuse_stale();
    END IF;
END
$$;

-- Raises the error of require_instance. The repair role may record the end of a restore into a stale copy.
CREATE OR REPLACE FUNCTION ledger.refuse_stale() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_sequence_last_value('ledger.instance_mark') = 0 THEN
        IF current_setting('role') = 'opsledger_repair' THEN
            RETURN;
        END IF;
        RAISE EXCEPTION 'OPS_015: the store holds history that this database lacks, so nothing is recorded here'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Bring the history back with `opsledger restore`.';
    END IF;
    RAISE EXCEPTION 'OPS_015: this database is a copy, an old backup put back, or a promoted standby; '
        'nothing is recorded here'
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Resolve it with `opsledger restore` and the store, or with --why if there is no store.';
END
$$;

-- ledger.skip_numbers: makes the next allocated number greater than the given one. Skipped numbers never come back, so
-- it skips at most half of the numbers that are left.
--
-- Used by  restore, before it records its end. It runs as its owner, the installing superuser.
CREATE OR REPLACE FUNCTION ledger.skip_numbers(above bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at CONSTANT bigint := coalesce(pg_sequence_last_value('ledger.entry_sequence'), 0);
    reached CONSTANT bigint := greatest(at, (SELECT max(e.entry) FROM ledger.events AS e));
    ends CONSTANT bigint := (SELECT s.seqmax FROM pg_sequence AS s
        WHERE s.seqrelid = 'ledger.entry_sequence'::regclass);
BEGIN
    IF above > reached + greatest((ends - reached) / 2, 1) THEN
        RAISE EXCEPTION 'OPS_014: cannot skip from entry number % to %: that is more than half of the numbers up to %',
            reached, above, ends
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Skipped numbers never come back. See the last entry of the store: `opsledger archive list`.';
    END IF;
    IF above > at THEN
        PERFORM setval('ledger.entry_sequence', above);
    END IF;
END
$$;

-- ledger.take_seals_off: deletes the seals above an entry that the numbers of this log cannot have reached.
--
-- Used by  init. It runs as its owner, the installing superuser: no role may change the table.
CREATE OR REPLACE FUNCTION ledger.take_seals_off(above bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.erasure_permits VALUES (pg_current_xact_id());
    DELETE FROM ledger.checkpoints AS c WHERE c.entry > above;
    DELETE FROM ledger.erasure_permits AS p WHERE p.xid = pg_current_xact_id();
END
$$;

-- ledger.recount_seals: corrects the sizes of seals: from each of these entries on, they count so many events more.
-- Events were missing when the seals counted them, or somebody else changed the sizes.
--
-- Used by  restore, rebuild. It runs as its owner, the installing superuser: no role may change the table.
CREATE OR REPLACE FUNCTION ledger.recount_seals(entries bigint[], more bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.erasure_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    WITH gone AS (
        DELETE FROM ledger.checkpoints AS c
        WHERE c.root IS NULL AND c.size IS NOT NULL
            AND c.entry >= (SELECT min(m.entry) FROM unnest(entries) AS m(entry))
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

-- ledger.adopt_instance: stores the mark of this database, which may record from now on. Its next number is above the
-- given one. Both changes hold at once for all sessions, even if the transaction is rolled back.
--
-- Used by  init, restore. It runs as its owner, the installing superuser: nobody else may set the sequence.
CREATE OR REPLACE FUNCTION ledger.adopt_instance(above bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger.skip_numbers(above);
    PERFORM setval('ledger.instance_mark', ledger.current_mark());
END
$$;

-- ledger.mark_stale: marks this database as a stale copy, because the store has entries that it lacks. It records
-- nothing until a restore has resolved that.
--
-- Used by  push.
CREATE OR REPLACE FUNCTION ledger.mark_stale() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT setval('ledger.instance_mark', 0)
$$;
