-- ledger.append_agent_event: appends an entry with one reported agent event, and inserts the event's row.
--
-- The row takes its id and version from the event, so no row comes without its event, and capture skips the row
-- (capture_checks_reports). A time of infinity becomes the entry's time.
--
-- Returns  the entry's number and time.
-- Locks    as allocate_entry.
-- Used by  `event emit`. It runs as opsledger_writer, which has no members. Each name has its schema, as in draw.
CREATE OR REPLACE FUNCTION ledger.append_agent_event(
    command uuid, actor text, stream uuid, version integer, cause bigint, event json,
    content json, salt bytea, dedupe_key text, type text, data jsonb, mission_id uuid,
    processed_at timestamptz, created_at timestamptz, thought text,
    OUT entry bigint, OUT recorded_at timestamptz
) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
#variable_conflict use_variable
DECLARE
    allocated pg_catalog.record;
BEGIN
    allocated := ledger.allocate_entry();
    entry := allocated.entry;
    recorded_at := allocated.recorded_at;
    INSERT INTO ledger.events (entry, index, stream, version, type, recorded_at, actor, cause, command,
        data, content, salt)
    VALUES (entry, 0, stream, version, 'agent_event.reported', recorded_at, actor, cause, command,
        event, content, salt);
    INSERT INTO public.ops_agent_events (id, dedupe_key, type, data, mission_id, processed_at,
        created_at, thought, version)
    VALUES (stream, dedupe_key, type, data, mission_id,
        CASE WHEN processed_at OPERATOR(pg_catalog.=) 'infinity' THEN recorded_at ELSE processed_at END,
        CASE WHEN created_at OPERATOR(pg_catalog.=) 'infinity' THEN recorded_at ELSE created_at END,
        thought, version);
END
$$;
ALTER FUNCTION ledger.append_agent_event(uuid, text, uuid, integer, bigint, json, json, bytea, text, text,
    jsonb, uuid, timestamptz, timestamptz, text) OWNER TO opsledger_writer;
