-- These functions write values into the payloads of capture, in the form that Swift reads (docs/events.md).
--
-- They refuse a value that Swift could not read (22000). Such a payload would stop verify and rebuild of the whole
-- ledger.
--
-- They are PL/pgSQL, because its simple expressions do not start the executor. They have no SET, which would cost more
-- than they do: only capture's functions call them, and these have the settings.

-- A json value. Two values are wrapped in {"json": …}: JSON null, so that it differs from an SQL NULL, and an object
-- whose only key is `json`. Payloads nest three levels above a value, and readers accept 256 levels.
CREATE OR REPLACE FUNCTION ledger.capture_json(value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    written CONSTANT text := value::text;
BEGIN
    IF octet_length(written) > 480
        AND length(written) - length(translate(written, '[{', '')) > 240
        AND jsonb_path_exists(value, '$.**{240 to last}')
    THEN
        RAISE EXCEPTION 'a json value is nested deeper than 240 levels'
            USING ERRCODE = 'data_exception',
                HINT = 'Store it with fewer levels: opsledger could not read a deeper value back from the log.';
    END IF;
    IF octet_length(written) <> length(written) AND ledger.capture_keys_collide(value) THEN
        RAISE EXCEPTION 'a json object has two keys with the same characters in different Unicode forms'
            USING ERRCODE = 'data_exception',
                HINT = 'Write each key in the form that normalize(key, NFC) returns.';
    END IF;
    -- Readers size their batches by the stored bytes. Text can take six times as many bytes because of escapes. Only
    -- numbers with exponents take more: a few bytes can stand for 131,072 digits.
    IF octet_length(written) > 1048576 AND octet_length(written) / 8 > pg_column_size(
        value || CASE jsonb_typeof(value) WHEN 'array' THEN '[]' ELSE '{}' END::jsonb)
    THEN
        RAISE EXCEPTION 'OPS_019: a json value takes % bytes when its numbers are written without exponents',
            octet_length(written)
            USING ERRCODE = 'program_limit_exceeded',
                HINT = 'At most 1048576 bytes (1 MiB) are allowed: write such large numbers as strings.';
    END IF;
    -- The IFs are nested, because an IF with a query in it starts the executor for each value.
    IF written = 'null' THEN
        RETURN '{"json": null}';
    ELSIF starts_with(written, '{"json": ') THEN
        IF (SELECT count(*) FROM jsonb_object_keys(value)) = 1 THEN
            RETURN '{"json": ' || written || '}';
        END IF;
    END IF;
    RETURN written;
END
$$;

-- Whether an object in the value has two keys that Swift takes for the same key: they are canonically equivalent, such
-- as é in one code point and in two.
CREATE OR REPLACE FUNCTION ledger.capture_keys_collide(value jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM jsonb_path_query(value, '$.**') AS o(value)
        WHERE jsonb_typeof(o.value) = 'object' AND (
            SELECT count(*) <> count(DISTINCT normalize(k.key, NFC)) FROM jsonb_object_keys(o.value) AS k(key)));
END
$$;

-- Refuses a value that the log cannot hold. Only a table whose constraint was dropped can have such a value. The
-- function is VOLATILE, so that the planner does not evaluate it in advance.
CREATE OR REPLACE FUNCTION ledger.capture_refuse_value(name text, value text) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RAISE EXCEPTION 'column % cannot be %; nothing was changed',
        name, coalesce(quote_literal(left(value, 80)), 'NULL')
        USING ERRCODE = 'data_exception', HINT = 'A constraint of the table is missing: see `opsledger doctor`.';
END
$$;

-- Undoes the wrapping of capture_json.
CREATE OR REPLACE FUNCTION ledger.capture_unwrap(value json) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    read CONSTANT jsonb := value::jsonb;
BEGIN
    IF jsonb_typeof(read) = 'object' AND read ? 'json'
        AND (SELECT count(*) FROM jsonb_object_keys(read)) = 1
    THEN
        RETURN read -> 'json';
    END IF;
    RETURN read;
END
$$;

-- A time in RFC 3339 and UTC, whatever the session's settings are.
CREATE OR REPLACE FUNCTION ledger.capture_time(value timestamptz) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF isfinite(value) THEN
        IF value < '0001-01-01 00:00:00+00' OR value >= '10000-01-01 00:00:00+00' THEN
            RAISE EXCEPTION 'a time is outside of the years 1 to 9999'
                USING ERRCODE = 'datetime_field_overflow',
                    HINT = 'Write a time of these years, or NULL: the log has times in RFC 3339, which has no others.';
        END IF;
        RETURN '"' || to_char(value AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"';
    END IF;
    RETURN CASE WHEN value > '2000-01-01 00:00:00+00' THEN '"infinity"' ELSE '"-infinity"' END;
END
$$;

-- An array of integers with one dimension, first index 1, and no NULL.
CREATE OR REPLACE FUNCTION ledger.capture_integers(value integer[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF cardinality(value) > 0 AND (array_ndims(value) <> 1 OR array_lower(value, 1) <> 1
        OR array_position(value, NULL) IS NOT NULL)
    THEN
        RAISE EXCEPTION 'an array of integers has several dimensions, a first index other than 1, or a NULL'
            USING ERRCODE = 'data_exception', HINT = 'Write it as {0,1,2}.';
    END IF;
    RETURN array_to_json(value)::text;
END
$$;

-- The structure of a json column that mixes structure and content, after its content is erased. Swift has the same
-- rules in `eraseContent` of proposal, reaction and run.
CREATE OR REPLACE FUNCTION ledger.capture_erased(relation text, value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    kept jsonb;
BEGIN
    IF jsonb_typeof(value) <> 'object' THEN
        RETURN '{}';
    END IF;
    CASE relation
        WHEN 'ops_mission_proposals' THEN
            RETURN (SELECT coalesce(jsonb_object_agg(v.key,
                    ledger.capture_scalars(v.value, '{id,vote,created_at}')
                    || '{"reason": null, "metadata": {"erased": true}}'), '{}')
                FROM jsonb_each(value) AS v);
        WHEN 'ops_action_runs' THEN
            RETURN ledger.capture_scalars(value, '{kind,class,retrying}');
        WHEN 'ops_agent_reactions' THEN
            kept := ledger.capture_scalars(value,
                '{dedupe_key,event_type,pattern_id,causation_depth,proposal_source}');
            IF value ? 'proposal_template' THEN
                kept := kept || '{"proposal_template": {"erased": true}}';
            END IF;
            IF value ? 'error' THEN
                kept := kept || '{"error": null}';
            END IF;
            IF value ? 'result' THEN
                kept := kept || jsonb_build_object('result',
                    ledger.capture_scalars(value -> 'result', '{r_proposal_id,r_status,r_mission_id}')
                    || '{"r_reason": null}');
            END IF;
            RETURN kept;
    END CASE;
END
$$;

-- The scalar members of a json object that have one of these names; for another value, an empty object.
CREATE OR REPLACE FUNCTION ledger.capture_scalars(value jsonb, names text[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF jsonb_typeof(value) <> 'object' THEN
        RETURN '{}';
    END IF;
    RETURN (SELECT coalesce(jsonb_object_agg(v.key, v.value), '{}') FROM jsonb_each(value) AS v
        WHERE v.key = ANY (names) AND jsonb_typeof(v.value) NOT IN ('object', 'array'));
END
$$;

-- The author of a manual change: the login, the role that it took by SET ROLE, and its program. current_user would be
-- the owner of capture's functions.
CREATE OR REPLACE FUNCTION ledger.capture_manual_change() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN format('"role": %s, "application": %s, "session_user": %s',
        to_json(current_setting('role')), to_json(current_setting('application_name')),
        to_json(session_user::text));
END
$$;
