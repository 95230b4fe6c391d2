-- ledger.repair_guarded: repairs tables that nobody may change. It replaces copies of archived events and recorded
-- roots that differ from the log, and deletes records of archived partitions whose events are in the log, and old
-- permits.
--
-- Takes    the positions (entry/index) of wrong copies; new copies, as a JSON array of objects; the entries of wrong
--          roots, and for each the right size, root and frontier, or null to delete it only.
-- Used by  rebuild. Only the repair role may call it, in a transaction that records a repair (capture_check_repair). It
--          runs as its owner, the installing superuser.
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
