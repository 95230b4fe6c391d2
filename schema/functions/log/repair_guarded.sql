-- ledger.repair_guarded: replaces rows that differ from the log in tables that nobody may change: copies of events that
-- have left, noted roots, departures that the log contradicts; and takes off permits that were left behind.
--
-- Takes    the places (entry/index) of copies that are wrong; copies to make, as a JSON array of objects; and of noted
--          roots that are wrong: their entries, and what they should be.
-- Returns  nothing.
-- Locks    the rows that it changes.
-- Used by  rebuild. Only the keeper may call it, in a transaction that records a repair (capture_check_repair). As its
--          owner, the installing superuser: no role may change these tables.
CREATE OR REPLACE FUNCTION ledger.repair_guarded(
    copies text[], made json, entries bigint[], sizes bigint[], roots bytea[], frontiers bytea[]
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger.capture_note_repair();
    DELETE FROM ledger.ddl_permits AS p WHERE p.xid <> pg_current_xact_id();
    DELETE FROM ledger.erasure_permits AS p WHERE p.xid <> pg_current_xact_id();
    INSERT INTO ledger.erasure_permits VALUES (pg_current_xact_id());
    DELETE FROM ledger.kept_events AS s WHERE s.entry || '/' || s.index = ANY (copies);
    DELETE FROM ledger.checkpoints AS c WHERE c.entry = ANY (entries) AND c.root IS NOT NULL;
    DELETE FROM ledger.archived_partitions AS d
    WHERE EXISTS (SELECT FROM ledger.events AS e WHERE e.entry <= d.last);
    DELETE FROM ledger.erasure_permits AS p WHERE p.xid = pg_current_xact_id();
    INSERT INTO ledger.kept_events (entry, index, stream, version, type, recorded_at, actor, cause, command,
        data, content, salt, commitment)
    SELECT r.entry, r.index, r.stream, r.version, r.type,
        timestamptz 'epoch' + r.micros * interval '1 microsecond', r.actor, r.cause, r.command,
        r.data::json, r.content::json, decode(r.salt, 'hex'), decode(r.commitment, 'hex')
    FROM json_to_recordset(made) AS r(entry bigint, index integer, stream uuid, version integer, type text,
        micros bigint, actor text, cause bigint, command uuid, data text, content text, salt text,
        commitment text);
    INSERT INTO ledger.checkpoints (entry, sealed_at, size, root, frontier)
    SELECT r.entry, ledger.now(), r.size, r.root, r.frontier
    FROM unnest(entries, sizes, roots, frontiers) AS r(entry, size, root, frontier)
    WHERE r.size IS NOT NULL;
END
$$;
