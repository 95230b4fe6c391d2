-- How capture writes values into payloads: as the Swift side reads them (docs/events.md).
--
-- What the log could not be read back from is refused (22000) instead of recorded: a payload that cannot
-- be read would stop verify and rebuild for the whole ledger.
--
-- Used by  capture. In PL/pgSQL, whose simple expressions start no executor; with the settings of capture's
--          functions, which alone may call them: a SET of their own would cost more than they do.

-- A json value: JSON null and objects whose only key is `json` wrapped, which a bare null and such a
-- wrap are told from. Payloads nest three levels above a value, and readers stop at 256.
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
            USING ERRCODE = 'data_exception', HINT = 'What the ledger records it must be able to read.';
    END IF;
    IF octet_length(written) <> length(written) AND ledger.capture_keys_collide(value) THEN
        RAISE EXCEPTION 'two keys of a json object are the same characters in other bytes'
            USING ERRCODE = 'data_exception',
                HINT = 'Write keys in one form of Unicode, as normalize(key, NFC) gives it.';
    END IF;
    -- Batches are weighed by what is stored, and escapes make six bytes of one: the rest are digits of numbers with
    -- exponents, of which a few bytes can stand for 131,072.
    IF octet_length(written) > 1048576 AND octet_length(written) / 8 > pg_column_size(
        value || CASE jsonb_typeof(value) WHEN 'array' THEN '[]' ELSE '{}' END::jsonb)
    THEN
        RAISE EXCEPTION 'OPS_019: the numbers of a json value take % bytes written without exponents',
            octet_length(written)
            USING ERRCODE = 'program_limit_exceeded',
                HINT = 'Together they may take 1048576 (1 MiB): write so large numbers as strings.';
    END IF;
    -- An IF with a query in it would start the executor for each value.
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

-- Whether any object within has two keys that readers take for one: canonically equivalent, as é in one
-- character and in two.
CREATE OR REPLACE FUNCTION ledger.capture_keys_collide(value jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM jsonb_path_query(value, '$.**') AS o(value)
        WHERE jsonb_typeof(o.value) = 'object' AND (
            SELECT count(*) <> count(DISTINCT normalize(k.key, NFC)) FROM jsonb_object_keys(o.value) AS k(key)));
END
$$;

-- A value that no row of the log can have, where the table's own constraint was taken away. VOLATILE, so that no
-- planner asks it beforehand.
CREATE OR REPLACE FUNCTION ledger.capture_refuse_value(name text, value text) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RAISE EXCEPTION '% cannot be %', name, coalesce(quote_literal(left(value, 80)), 'NULL')
        USING ERRCODE = 'data_exception', HINT = 'What the ledger records it must be able to read.';
END
$$;

-- And read again.
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

-- A time: RFC 3339 in UTC, whatever the session's settings are.
CREATE OR REPLACE FUNCTION ledger.capture_time(value timestamptz) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF isfinite(value) THEN
        IF value < '0001-01-01 00:00:00+00' OR value >= '10000-01-01 00:00:00+00' THEN
            RAISE EXCEPTION 'a time lies outside of the years 1 to 9999'
                USING ERRCODE = 'datetime_field_overflow',
                    HINT = 'The ledger records times as RFC 3339, which has no other years.';
        END IF;
        RETURN '"' || to_char(value AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"';
    END IF;
    RETURN CASE WHEN value > '2000-01-01 00:00:00+00' THEN '"infinity"' ELSE '"-infinity"' END;
END
$$;

-- An array of integers: one dimension, counted from 1, no NULL in it.
CREATE OR REPLACE FUNCTION ledger.capture_integers(value integer[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    IF cardinality(value) > 0 AND (array_ndims(value) <> 1 OR array_lower(value, 1) <> 1
        OR array_position(value, NULL) IS NOT NULL)
    THEN
        RAISE EXCEPTION 'an array of integers has several dimensions, another first index, or a NULL'
            USING ERRCODE = 'data_exception', HINT = 'Write it as {0,1,2}.';
    END IF;
    RETURN array_to_json(value)::text;
END
$$;

-- What stays of a json column that mixes structure and content when its content is erased: Swift's
-- `eraseContent` of proposal, reaction and run.
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

-- Of a json object the members of these names that are scalars; of anything else nothing.
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

-- Who: session_user, since current_user is a definer's; as whom; and by which program.
CREATE OR REPLACE FUNCTION ledger.capture_manual_change() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN format('"role": %s, "application": %s, "session_user": %s',
        to_json(current_setting('role')), to_json(current_setting('application_name')),
        to_json(session_user::text));
END
$$;

ALTER FUNCTION ledger.capture_json(jsonb) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_keys_collide(jsonb) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_refuse_value(text, text) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_unwrap(json) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_time(timestamptz) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_integers(integer[]) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_erased(text, jsonb) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_scalars(jsonb, text[]) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_manual_change() OWNER TO opsledger_owner;
