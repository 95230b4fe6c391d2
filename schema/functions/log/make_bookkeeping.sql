-- ledger.make_bookkeeping: derives idempotency keys, tombstones and erasures from the events of these entries. Existing
-- keys stay. Later events raise the versions of tombstones and the entries of erasures.
--
-- The log has neither the request nor its answer, so a retry under a derived key is answered with the entry only.
--
-- Used by  restore; repair_bookkeeping. Only the repair role may call it.
CREATE OR REPLACE FUNCTION ledger.make_bookkeeping(first bigint, last bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.idempotency_keys (command, entry, recorded_at)
    SELECT e.command, e.entry, e.recorded_at FROM ledger.events AS e
    WHERE e.entry BETWEEN first AND last AND e.index = 0 AND substr(e.command::text, 15, 1) = '5'
    ON CONFLICT (command) DO NOTHING;

    -- One scan of the events finds the few that remove, archive or erase a row. The dedupe key of an archived row stays
    -- taken. A row that was removed or archived may be erased later.
    WITH said AS MATERIALIZED (
        SELECT e.stream, split_part(e.type, '.', 1) AS row_type, split_part(e.type, '.', 2) AS kind,
            e.version, e.entry, e.data
        FROM ledger.events AS e
        WHERE e.entry BETWEEN first AND last
            AND split_part(e.type, '.', 2) IN ('removed', 'archived', 'erased')
    ), erased AS (
        SELECT s.stream, max(s.version) AS version, max(s.entry) AS entry FROM said AS s
        WHERE s.kind = 'erased' GROUP BY s.stream
    ), archived AS (
        SELECT DISTINCT ON (s.stream) s.stream, s.row_type, s.version,
            CASE WHEN s.kind = 'archived' THEN s.data ->> 'dedupe_key' END AS dedupe_key
        FROM said AS s WHERE s.kind <> 'erased' ORDER BY s.stream, s.version DESC
    ), put AS (
        INSERT INTO ledger.tombstones AS t (stream, row_type, version, dedupe_key)
        SELECT d.stream, d.row_type, greatest(d.version, x.version), d.dedupe_key
        FROM archived AS d LEFT JOIN erased AS x ON x.stream = d.stream
        ON CONFLICT (stream) DO UPDATE SET
            dedupe_key = CASE WHEN EXCLUDED.version >= t.version THEN EXCLUDED.dedupe_key ELSE t.dedupe_key END,
            version = greatest(t.version, EXCLUDED.version), row_type = EXCLUDED.row_type
    ), raised AS (
        UPDATE ledger.tombstones AS t SET version = x.version FROM erased AS x
        WHERE x.stream = t.stream AND x.version > t.version
            AND NOT EXISTS (SELECT FROM archived AS d WHERE d.stream = x.stream)
    )
    INSERT INTO ledger.erasures AS e (stream, entry)
    SELECT x.stream, x.entry FROM erased AS x
    ON CONFLICT (stream) DO UPDATE SET entry = greatest(e.entry, EXCLUDED.entry);
END
$$;

-- ledger.repair_bookkeeping: deletes the idempotency keys, tombstones and erasures that differ from the log, and
-- derives them again from the events in the database, and from the rows that the caller derived from archived events.
--
-- Takes    the keys of the rows that differ; and rows of the three tables, as JSON arrays of objects.
-- Used by  rebuild. Only the repair role may call it, in a transaction that records a repair (capture_check_repair).
CREATE OR REPLACE FUNCTION ledger.repair_bookkeeping(
    commands uuid[], tombstones uuid[], erasures uuid[],
    archived_keys json, archived_tombstones json, archived_erasures json
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ledger.capture_note_repair();
    DELETE FROM ledger.idempotency_keys AS c WHERE c.command = ANY (commands);
    DELETE FROM ledger.tombstones AS t WHERE t.stream = ANY (tombstones);
    DELETE FROM ledger.erasures AS x WHERE x.stream = ANY (erasures);
    INSERT INTO ledger.idempotency_keys (command, entry, recorded_at)
    SELECT r.command, r.entry, r.recorded_at
    FROM json_to_recordset(archived_keys)
        AS r(command uuid, entry bigint, recorded_at timestamptz)
    ON CONFLICT (command) DO NOTHING;
    INSERT INTO ledger.tombstones (stream, row_type, version, dedupe_key)
    SELECT r.stream, r.row_type, r.version, r.dedupe_key
    FROM json_to_recordset(archived_tombstones)
        AS r(stream uuid, row_type text, version integer, dedupe_key text)
    ON CONFLICT (stream) DO NOTHING;
    INSERT INTO ledger.erasures (stream, entry)
    SELECT r.stream, r.entry
    FROM json_to_recordset(archived_erasures) AS r(stream uuid, entry bigint)
    ON CONFLICT (stream) DO NOTHING;
    -- Events in the database are later than archived ones, so they come second.
    PERFORM ledger.make_bookkeeping(0, 9223372036854775807);
END
$$;
