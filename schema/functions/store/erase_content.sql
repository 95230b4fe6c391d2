-- ledger.emptied: content without its values. Field names stay, so that the fold knows what was set.
CREATE OR REPLACE FUNCTION ledger.emptied(content json) RETURNS json
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ('{' || coalesce(string_agg(to_json(k.name)::text || ': null', ', '), '') || '}')::json
    FROM json_object_keys(emptied.content) AS k(name)
$$;
ALTER FUNCTION ledger.emptied(json) OWNER TO opsledger_owner;

-- ledger.erase_content: of streams that have an `erased` event, takes the content of all events before the last of
-- them off the log, and the results of their commands. What is left is SHA-256(salt || content), so that every
-- hash and proof still holds.
--
-- Takes    the streams; and commands of events that are in the store only.
-- Returns  from how many events.
-- Locks    the rows that it changes.
-- Used by  erase, restore; the keeper only. As its owner, the installing superuser: no role may change the log.
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

    -- Of rows that have left; of those that came back, their events' versions tell.
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
    -- Copies of events of policies that have left the database.
    UPDATE ledger.kept_events AS e
    SET content = ledger.emptied(e.content), salt = NULL,
        commitment = sha256(e.salt || convert_to(e.content::text, 'UTF8'))
    FROM ledger.erasures AS x
    WHERE x.stream = ANY (streams) AND e.stream = x.stream AND e.entry < x.entry
        AND e.salt IS NOT NULL;
    DELETE FROM ledger.erasure_permits AS p WHERE p.xid = pg_current_xact_id();

    -- A digest of what was asked tells who guesses right.
    UPDATE ledger.idempotency_keys AS c SET result = NULL, digest = NULL
    WHERE (c.result IS NOT NULL OR c.digest IS NOT NULL) AND (c.command = ANY (commands) OR c.command IN (
        SELECT e.command FROM ledger.events AS e JOIN ledger.confirmed_erasures() AS x ON x.stream = e.stream
        WHERE x.stream = ANY (streams) AND e.entry < x.entry));
    RETURN erased;
END
$$;
