-- ledger.emptied: content without its values. The field names stay, so that the fold knows which fields were set.
CREATE OR REPLACE FUNCTION ledger.emptied(content json) RETURNS json
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ('{' || coalesce(string_agg(to_json(k.name)::text || ': null', ', '), '') || '}')::json
    FROM json_object_keys(emptied.content) AS k(name)
$$;

-- ledger.erase_content: erases the content of all events before a stream's last `erased` event, and the results of
-- their commands. SHA-256(salt || content) stays, so that every hash and proof still holds.
--
-- Takes    the streams; and the commands of archived events.
-- Returns  the number of events whose content it erased.
-- Used by  erase, restore; only the repair role may call it. It runs as its owner, the installing superuser, because no
--          role may change the log.
CREATE OR REPLACE FUNCTION ledger.erase_content(streams uuid[], commands uuid[] DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    erased bigint;
BEGIN
    INSERT INTO ledger.erasures AS x (stream, entry)
    SELECT e.stream, max(e.entry) FROM ledger.events AS e
    WHERE e.stream = ANY (streams) AND e.type LIKE '%.erased'
    GROUP BY e.stream
    ON CONFLICT (stream) DO UPDATE SET entry = greatest(x.entry, EXCLUDED.entry);

    -- The tombstones of removed and archived rows. A row that came back has the version of its last event.
    UPDATE ledger.tombstones AS t SET version = e.version
    FROM ledger.events AS e
    WHERE t.stream = ANY (streams) AND e.stream = t.stream AND e.version = t.version + 1
      AND e.type LIKE '%.erased';

    INSERT INTO ledger.erasure_permits VALUES (pg_current_xact_id());
    UPDATE ledger.events AS e
    SET content = ledger.emptied(e.content), salt = NULL,
        commitment = sha256(e.salt || convert_to(e.content::text, 'UTF8'))
    FROM ledger.confirmed_erasures() AS x
    WHERE x.stream = ANY (streams) AND e.stream = x.stream AND e.entry < x.entry
        AND e.salt IS NOT NULL;
    GET DIAGNOSTICS erased = ROW_COUNT;
    -- The copies of archived events.
    UPDATE ledger.kept_events AS e
    SET content = ledger.emptied(e.content), salt = NULL,
        commitment = sha256(e.salt || convert_to(e.content::text, 'UTF8'))
    FROM ledger.erasures AS x
    WHERE x.stream = ANY (streams) AND e.stream = x.stream AND e.entry < x.entry
        AND e.salt IS NOT NULL;
    DELETE FROM ledger.erasure_permits AS p WHERE p.xid = pg_current_xact_id();

    -- With the digest of a request, a guess at its content could be checked.
    UPDATE ledger.idempotency_keys AS c SET result = NULL, digest = NULL
    WHERE (c.result IS NOT NULL OR c.digest IS NOT NULL) AND (c.command = ANY (commands) OR c.command IN (
        SELECT e.command FROM ledger.events AS e JOIN ledger.confirmed_erasures() AS x ON x.stream = e.stream
        WHERE x.stream = ANY (streams) AND e.entry < x.entry));
    RETURN erased;
END
$$;
