-- ledger.capture_…_<table>: the trigger functions that record manual changes of the eight tables. This file makes them
-- from ledger.captured_columns. Tests/capture_functions.sql has the result, and a test compares the two: review a
-- change there.
--
-- The version shows who wrote a row. If a command in the same transaction has appended the event of the row's new
-- version, the change is recorded already. Every other change of a captured column is a manual change. The BEFORE
-- triggers run for each row (…_insert_row_, …_update_row_), and give it its version. The AFTER triggers run once for
-- each statement (…_insert_, …_update_, …_delete_, …_truncate_), and stage an event for each row.
--
-- Rows are compared by their bytes (*<>): 1.0 and 1.00 are equal as jsonb, but are not the same row.
-- For a statement of the engine, capture looks up only the first row's event, in the entry that allocate_entry()
-- allocated (opsledger.entry). It reads further rows only if that event is missing. Then settings fix the plans: a plan
-- from the time of an empty log would read the whole log, and OLD and NEW would be joined in quadratic time.
--
-- Sets     opsledger.numbered, to the end of the transaction, after a BEFORE trigger gave a row its version. From then
--          on capture looks up every row.
-- Used by  the triggers of guards/capture.sql. They run as opsledger_owner, from whom row-level policies hide no rows.
--          Each refuses to run for another table, where it would write into the streams of other rows.

-- Replaces each {{name}} in the template by the value of that name, and {{name of row}} by the value with each @ in it
-- replaced by the row. Values may contain names again.
CREATE FUNCTION pg_temp.filled(template text, names jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place text[];
BEGIN
    LOOP
        place := regexp_match(template, '(\{\{(\w+)(?: of (\w+))?\}\})');
        EXIT WHEN place IS NULL;
        IF names ->> place[2] IS NULL THEN
            RAISE EXCEPTION 'the template uses the unknown name %', place[2];
        END IF;
        template := replace(template, place[1], replace(names ->> place[2], '@', coalesce(place[3], '@')));
    END LOOP;
    RETURN template;
END $$;

DO $generate$
DECLARE
    -- PostgreSQL sets and resets the settings of a function on each call. The row triggers have settings, because
    -- writes of the engine do not call them. The other functions call capture_set_planner and set search_path only
    -- before they stage rows. Their earlier parts run under the caller's search_path, so each name and operator there
    -- has its schema.
    parts CONSTANT jsonb := jsonb_build_object(
        'light', 'LANGUAGE plpgsql VOLATILE SECURITY DEFINER',
        'pins', '{{light}}
SET search_path = pg_catalog, pg_temp SET row_security = off SET enable_seqscan = off
SET enable_bitmapscan = off SET jit = off SET plan_cache_mode = force_generic_plan',

        'head', $part$
    IF TG_RELID <> 'public.{{relation}}'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.{{relation}} only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;$part$,

        'declares', $part$
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;$part$,

        -- Whether no command in this transaction has appended the row's event. The subquery runs once and is hashed: a
        -- look-up in the log for each row takes twice as long.
        'appended', 'ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)',
        'missing', 'NOT ({{stream of @}}, @.version) OPERATOR(pg_catalog.=) {{appended}}',
        'missing_removal', 'NOT ({{stream of @}}, @.version + 1) OPERATOR(pg_catalog.=) {{appended}}',

        -- Statements of the engine end here, except on ops_policy, whose versions begin at 1 by default. Capture checks
        -- only the first row of the statement: nobody but the engine can have appended its event. Changes by a cascade
        -- or by a trigger of somebody else come at a greater trigger depth, or a BEFORE trigger has numbered them.
        'first_row_decides', $part$
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT {{stream of n}} AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;$part$,
        -- A statement ends here if the events of all its rows are in the log, or if it changed no row.
        'passes', $part$
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR {{missing of n}}) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);$part$,
        'leaves', $part$
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;$part$,

        'touches', $part$
    IF NEW.updated_at = OLD.updated_at THEN
        NEW.updated_at := greatest(OLD.updated_at, ledger.now());
    END IF;$part$,
        'checks_inserted_keys', $part$
    PERFORM ledger.capture_refuse_key('{{row_type}}', n.id, n.dedupe_key) FROM new_rows AS n
    WHERE n.dedupe_key IS NOT NULL AND (allocated IS NULL OR {{missing of n}});$part$,
        'checks_updated_keys', $part$
        PERFORM ledger.capture_refuse_key('{{row_type}}', n.id, n.dedupe_key)
        FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
        WHERE n.dedupe_key IS DISTINCT FROM o.dedupe_key AND (allocated IS NULL OR {{missing of n}});$part$);

    functions CONSTANT text[] := ARRAY[
$function$
CREATE OR REPLACE FUNCTION ledger.capture_insert_row_{{relation}}() RETURNS trigger {{pins}} AS $body$
BEGIN{{head}}
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.version = 0 OR NOT ledger.capture_is_own({{stream of NEW}}, NEW.version) THEN
        NEW.version := ledger.capture_next_version('{{relation}}', NEW.{{key}}::text, greatest(
            (SELECT t.version FROM ledger.tombstones AS t WHERE t.stream = {{stream of NEW}}),
            (SELECT r.version FROM public.{{relation}} AS r WHERE r.{{key}} = NEW.{{key}}), 0));
    END IF;
    RETURN NEW;
END $body$;$function$,

$function$
CREATE OR REPLACE FUNCTION ledger.capture_update_row_{{relation}}() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN{{head}}
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.{{key}} <> OLD.{{key}} THEN
        PERFORM ledger.capture_refuse_key_change('{{relation}}', OLD.{{key}}::text, NEW.{{key}}::text);
    ELSIF NEW.version < OLD.version THEN
        PERFORM ledger.capture_refuse_version('{{relation}}', OLD.{{key}}::text, NEW.version);
    ELSIF NEW.version = OLD.version THEN
        IF NOT ROW({{image of OLD}})::record *<> ROW({{image of NEW}})::record THEN
            RETURN NEW;
        END IF;
        NEW.version := ledger.capture_next_version('{{relation}}', OLD.{{key}}::text, OLD.version);
    ELSIF ledger.capture_is_own({{stream of NEW}}, NEW.version) THEN
        RETURN NEW;
    END IF;{{touch}}
    RETURN NEW;
END $body$;$function$,

$function$
CREATE OR REPLACE FUNCTION ledger.capture_insert_{{relation}}() RETURNS trigger {{light}} AS $body$
DECLARE{{declares}}
BEGIN{{passing}}{{head}}
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', {{stream of n}}, n.version, '{{row_type}}.inserted',
        '{"columns": {' || concat_ws(', ',{{columns}}) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', {{contents}}) || '}', '{}')
    FROM new_rows AS n
    WHERE allocated IS NULL OR {{missing of n}};{{inserted_keys}}
    PERFORM ledger.capture_check('{{relation}}', since, true);{{leaves}}
END $body$;$function$,

$function$
CREATE OR REPLACE FUNCTION ledger.capture_update_{{relation}}() RETURNS trigger {{light}} AS $body$
DECLARE{{declares}}
    staged bigint;
    wrong pg_catalog.record;
BEGIN{{passing}}{{head}}
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    -- A row that the statement changed twice is there twice, so rows are joined by their versions too.
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', {{stream of n}}, n.version, '{{row_type}}.amended',
        '{"changes": {' || concat_ws(', ',{{changes}}) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', {{content_changes}}) || '}', '{}')
    FROM new_rows AS n JOIN old_rows AS o ON o.{{key}} = n.{{key}} AND o.version + 1 = n.version
    WHERE allocated IS NULL OR {{missing of n}};
    GET DIAGNOSTICS staged = ROW_COUNT;
    IF staged <> (SELECT count(*) FROM new_rows) THEN
        -- The other rows are unchanged, or recorded already, or wrong.
        SELECT n.{{key}} AS key, n.version INTO wrong
        FROM new_rows AS n
        WHERE NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.{{key}} = n.{{key}} AND o.version + 1 = n.version)
          AND NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.{{key}} = n.{{key}} AND o.version = n.version
                  AND NOT ROW({{image of o}})::record *<> ROW({{image of n}})::record)
          AND (allocated IS NULL OR {{missing of n}})
        LIMIT 1;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM old_rows AS o WHERE o.{{key}} = wrong.key) THEN
                PERFORM ledger.capture_refuse_key_change('{{relation}}', 'another key', wrong.key::text);
            END IF;
            PERFORM ledger.capture_refuse_version('{{relation}}', wrong.key::text, wrong.version);
        END IF;
    END IF;
    IF staged > 0 THEN{{updated_keys}}
        PERFORM ledger.capture_check('{{relation}}', since, false);
    END IF;{{leaves}}
END $body$;$function$,

$function$
CREATE OR REPLACE FUNCTION ledger.capture_delete_{{relation}}() RETURNS trigger {{light}}
SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    allocated CONSTANT bigint := nullif(current_setting('opsledger.entry', true), '')::bigint;
    own CONSTANT xid := pg_current_xact_id()::xid;
    since bigint;
    manual_change text;
    pinned text[];
BEGIN{{head}}
    PERFORM ledger.capture_next_version('{{relation}}', o.{{key}}::text, o.version) FROM old_rows AS o
    WHERE o.version >= 2000000000;
    -- The dedupe key of an archived row stays taken.
    INSERT INTO ledger.tombstones AS t (stream, row_type, version, dedupe_key)
    SELECT {{stream of o}}, '{{row_type}}', o.version + 1, (
        SELECT e.data ->> 'dedupe_key' FROM ledger.events AS e
        WHERE e.entry >= allocated AND e.entry <= allocated AND e.stream = {{stream of o}} AND e.version = o.version + 1
          AND e.type = '{{row_type}}.archived' AND e.command IS NOT NULL AND e.xmin = own)
    FROM old_rows AS o
    ON CONFLICT (stream) DO UPDATE SET version = greatest(t.version, EXCLUDED.version),
        row_type = EXCLUDED.row_type, dedupe_key = EXCLUDED.dedupe_key;
    IF NOT EXISTS (SELECT FROM old_rows AS o WHERE allocated IS NULL OR {{missing_removal of o}}) THEN
        RETURN NULL;
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', {{stream of o}}, o.version + 1, '{{row_type}}.removed', '{' || manual_change || '}'
    FROM old_rows AS o
    WHERE allocated IS NULL OR {{missing_removal of o}};
    PERFORM ledger.capture_check('{{relation}}', since, false);
    PERFORM ledger.capture_reset_planner(pinned);
    RETURN NULL;
END $body$;$function$,

$function$
CREATE OR REPLACE FUNCTION ledger.capture_truncate_{{relation}}() RETURNS trigger {{pins}} AS $body$
DECLARE
    since bigint;
    manual_change text;
BEGIN{{head}}
    PERFORM ledger.require_read_committed('TRUNCATE of {{relation}}');
    IF NOT EXISTS (SELECT FROM public.{{relation}}) THEN
        RETURN NULL;
    END IF;
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    PERFORM ledger.capture_next_version('{{relation}}', o.{{key}}::text, o.version) FROM public.{{relation}} AS o
    WHERE o.version >= 2000000000;
    INSERT INTO ledger.tombstones AS t (stream, row_type, version)
    SELECT {{stream of o}}, '{{row_type}}', o.version + 1 FROM public.{{relation}} AS o
    ON CONFLICT (stream) DO UPDATE
        SET version = greatest(t.version, EXCLUDED.version), row_type = EXCLUDED.row_type;
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', {{stream of o}}, o.version + 1, '{{row_type}}.removed', '{' || manual_change || '}'
    FROM public.{{relation}} AS o;
    PERFORM ledger.capture_check('{{relation}}', since, false);
    RETURN NULL;
END $body$;$function$];

    -- A column in a payload: its value, or the values before and after a change.
    in_data CONSTANT text := E'\n            ''"{{column}}": '' || coalesce({{structure of n}}, {{null}})';
    in_content CONSTANT text := E'\n            ''"{{column}}": '' || coalesce({{whole of n}}, {{null}})';
    in_content_if_any CONSTANT text := E'\n            ''"{{column}}": '' || {{whole of n}}';
    change_in_data CONSTANT text := E'\n            CASE WHEN {{differs}} THEN ''"{{column}}": ['''
        ' || coalesce({{structure of o}}, ''null'') || '', '' || coalesce({{structure of n}}, {{null}}) || '']'' END';
    change_in_content CONSTANT text := E'\n            CASE WHEN {{differs}} THEN ''"{{column}}": ['''
        ' || coalesce({{whole of o}}, ''null'') || '', '' || coalesce({{whole of n}}, {{null}}) || '']'' END';
    names jsonb;
    template text;
BEGIN
    FOR names IN
        WITH c AS (
            SELECT c.*, c.ordinality AS at,
                CASE c.type
                    WHEN 'uuid' THEN '''"'' || @.' || c.name || ' || ''"'''
                    WHEN 'integer' THEN '@.' || c.name || '::text'
                    WHEN 'integer[]' THEN 'ledger.capture_integers(@.' || c.name || ')'
                    WHEN 'timestamptz' THEN 'ledger.capture_time(@.' || c.name || ')'
                    WHEN 'jsonb' THEN 'ledger.capture_json(@.' || c.name || ')'
                    ELSE format(CASE WHEN l.labels IS NULL THEN 'to_json(@.%1$I::text)::text'
                        ELSE 'CASE WHEN @.%1$I IS NULL OR @.%1$I::text = ANY (%2$L) THEN to_json(@.%1$I::text)::text'
                            ' ELSE ledger.capture_refuse_value(%3$L, @.%1$I::text) END'
                        END, c.name, l.labels, c.relation || '.' || c.name)
                END AS whole,
                -- How a NULL is written. A column that the schema created NOT NULL refuses one.
                CASE WHEN EXISTS (SELECT FROM pg_attribute AS a
                        WHERE a.attrelid = to_regclass('public.' || c.relation) AND a.attname = c.name AND a.attnotnull)
                    OR EXISTS (SELECT FROM ledger_guard.definitions AS d WHERE d.object = 'table public.' || c.relation
                        AND d.fact = 'NOT NULL of ' || c.name AND d.value = 'true')
                    THEN 'ledger.capture_refuse_value(' || quote_literal(c.relation || '.' || c.name) || ', NULL)'
                END AS refused,
                CASE c.part WHEN 'mixed' THEN format(
                    'ledger.capture_json(ledger.capture_erased(%L, @.%s))', c.relation, c.name)
                END AS erased
            FROM ledger.captured_columns() WITH ORDINALITY AS c LEFT JOIN (VALUES
                -- The values that the log accepts in these columns and types. The tables' CHECKs and the types have the
                -- same lists.
                ('ops_mission_proposals.source', '{api,trigger,reaction,manual}'),
                ('ops_agent_reactions.status', '{queued,processing,done,failed}'),
                ('ops_demand_radar.stage', '{watching,validating,building,shipped}'),
                ('ops_proposal_status', '{pending,approved,rejected,auto_approved,voting}'),
                ('ops_mission_status', '{approved,running,succeeded,failed}'),
                ('ops_step_status', '{queued,running,succeeded,failed}'),
                ('ops_action_run_status', '{started,succeeded,failed}')
            ) AS l (name, labels) ON l.name IN (c.type, c.relation || '.' || c.name)
        ), e AS (
            SELECT c.relation, c.row_type, c.part, c.name, c.at, c.refused IS NOT NULL AS is_never_null,
                jsonb_build_object('column', c.name, 'whole', c.whole, 'structure', coalesce(c.erased, c.whole),
                    'null', coalesce(c.refused, '''null'''), 'differs', CASE WHEN c.type IN ('jsonb', 'integer[]')
                        THEN 'ROW(o.{{column}})::record *<> ROW(n.{{column}})::record'
                        ELSE 'o.{{column}} IS DISTINCT FROM n.{{column}}' END) AS names
            FROM c
        ), lists AS (
            SELECT e.relation, min(e.row_type) AS row_type, (array_agg(e.name ORDER BY e.at))[1] AS key,
                bool_or(e.name = 'updated_at') AS has_updated_at, bool_or(e.name = 'dedupe_key') AS has_dedupe_key,
                string_agg('@.' || e.name, ', ' ORDER BY e.at) FILTER (WHERE e.name <> 'version') AS image,
                string_agg(pg_temp.filled(in_data, e.names), ',' ORDER BY e.at)
                    FILTER (WHERE e.part <> 'content' AND e.name <> 'version') AS columns,
                string_agg(pg_temp.filled(CASE WHEN e.is_never_null THEN in_content ELSE in_content_if_any END,
                    e.names), ',' ORDER BY e.at) FILTER (WHERE e.part <> 'data') AS contents,
                string_agg(pg_temp.filled(change_in_data, e.names), ',' ORDER BY e.at)
                    FILTER (WHERE e.part <> 'content' AND e.name <> 'version') AS changes,
                string_agg(pg_temp.filled(change_in_content, e.names), ',' ORDER BY e.at)
                    FILTER (WHERE e.part <> 'data') AS content_changes
            FROM e GROUP BY e.relation
        )
        SELECT jsonb_build_object('relation', l.relation, 'row_type', l.row_type, 'key', l.key, 'image', l.image,
            'stream', CASE l.row_type
                WHEN 'policy' THEN 'ledger.uuid_v5(''92b812ff-fcda-5ec4-a524-d529e92a7a52'','
                    ' ''policy:'' OPERATOR(pg_catalog.||) @.key)'
                ELSE '@.id' END,
            'columns', l.columns, 'contents', coalesce(l.contents, 'NULL'),
            'changes', l.changes, 'content_changes', coalesce(l.content_changes, 'NULL'),
            'touch', CASE WHEN l.has_updated_at THEN '{{touches}}' ELSE '' END,
            'inserted_keys', CASE WHEN l.has_dedupe_key THEN '{{checks_inserted_keys}}' ELSE '' END,
            'updated_keys', CASE WHEN l.has_dedupe_key THEN '{{checks_updated_keys}}' ELSE '' END,
            'passing', CASE WHEN l.row_type <> 'policy' THEN '{{first_row_decides}}' ELSE '' END || '{{passes}}')
        FROM lists AS l ORDER BY l.relation
    LOOP
        FOREACH template IN ARRAY functions LOOP
            EXECUTE pg_temp.filled(template, parts || names);
        END LOOP;
    END LOOP;
END $generate$;

DROP FUNCTION pg_temp.filled(text, jsonb);
