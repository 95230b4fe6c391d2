CREATE OR REPLACE FUNCTION ledger.capture_delete_ops_action_runs()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    allocated CONSTANT bigint := nullif(current_setting('opsledger.entry', true), '')::bigint;
    own CONSTANT xid := pg_current_xact_id()::xid;
    since bigint;
    manual_change text;
    pinned text[];
BEGIN
    IF TG_RELID <> 'public.ops_action_runs'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_action_runs only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.capture_next_version('ops_action_runs', o.id::text, o.version) FROM old_rows AS o
    WHERE o.version >= 2000000000;
    -- The dedupe key of an archived row stays taken.
    INSERT INTO ledger.tombstones AS t (stream, row_type, version, dedupe_key)
    SELECT o.id, 'run', o.version + 1, (
        SELECT e.data ->> 'dedupe_key' FROM ledger.events AS e
        WHERE e.entry >= allocated AND e.entry <= allocated AND e.stream = o.id AND e.version = o.version + 1
          AND e.type = 'run.archived' AND e.command IS NOT NULL AND e.xmin = own)
    FROM old_rows AS o
    ON CONFLICT (stream) DO UPDATE SET version = greatest(t.version, EXCLUDED.version),
        row_type = EXCLUDED.row_type, dedupe_key = EXCLUDED.dedupe_key;
    IF NOT EXISTS (SELECT FROM old_rows AS o WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'run.removed', '{' || manual_change || '}'
    FROM old_rows AS o
    WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_action_runs', since, false);
    PERFORM ledger.capture_reset_planner(pinned);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_delete_ops_agent_events()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    allocated CONSTANT bigint := nullif(current_setting('opsledger.entry', true), '')::bigint;
    own CONSTANT xid := pg_current_xact_id()::xid;
    since bigint;
    manual_change text;
    pinned text[];
BEGIN
    IF TG_RELID <> 'public.ops_agent_events'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_events only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.capture_next_version('ops_agent_events', o.id::text, o.version) FROM old_rows AS o
    WHERE o.version >= 2000000000;
    -- The dedupe key of an archived row stays taken.
    INSERT INTO ledger.tombstones AS t (stream, row_type, version, dedupe_key)
    SELECT o.id, 'agent_event', o.version + 1, (
        SELECT e.data ->> 'dedupe_key' FROM ledger.events AS e
        WHERE e.entry >= allocated AND e.entry <= allocated AND e.stream = o.id AND e.version = o.version + 1
          AND e.type = 'agent_event.archived' AND e.command IS NOT NULL AND e.xmin = own)
    FROM old_rows AS o
    ON CONFLICT (stream) DO UPDATE SET version = greatest(t.version, EXCLUDED.version),
        row_type = EXCLUDED.row_type, dedupe_key = EXCLUDED.dedupe_key;
    IF NOT EXISTS (SELECT FROM old_rows AS o WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'agent_event.removed', '{' || manual_change || '}'
    FROM old_rows AS o
    WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_agent_events', since, false);
    PERFORM ledger.capture_reset_planner(pinned);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_delete_ops_agent_reactions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    allocated CONSTANT bigint := nullif(current_setting('opsledger.entry', true), '')::bigint;
    own CONSTANT xid := pg_current_xact_id()::xid;
    since bigint;
    manual_change text;
    pinned text[];
BEGIN
    IF TG_RELID <> 'public.ops_agent_reactions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_reactions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.capture_next_version('ops_agent_reactions', o.id::text, o.version) FROM old_rows AS o
    WHERE o.version >= 2000000000;
    -- The dedupe key of an archived row stays taken.
    INSERT INTO ledger.tombstones AS t (stream, row_type, version, dedupe_key)
    SELECT o.id, 'reaction', o.version + 1, (
        SELECT e.data ->> 'dedupe_key' FROM ledger.events AS e
        WHERE e.entry >= allocated AND e.entry <= allocated AND e.stream = o.id AND e.version = o.version + 1
          AND e.type = 'reaction.archived' AND e.command IS NOT NULL AND e.xmin = own)
    FROM old_rows AS o
    ON CONFLICT (stream) DO UPDATE SET version = greatest(t.version, EXCLUDED.version),
        row_type = EXCLUDED.row_type, dedupe_key = EXCLUDED.dedupe_key;
    IF NOT EXISTS (SELECT FROM old_rows AS o WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'reaction.removed', '{' || manual_change || '}'
    FROM old_rows AS o
    WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_agent_reactions', since, false);
    PERFORM ledger.capture_reset_planner(pinned);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_delete_ops_demand_radar()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    allocated CONSTANT bigint := nullif(current_setting('opsledger.entry', true), '')::bigint;
    own CONSTANT xid := pg_current_xact_id()::xid;
    since bigint;
    manual_change text;
    pinned text[];
BEGIN
    IF TG_RELID <> 'public.ops_demand_radar'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_demand_radar only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.capture_next_version('ops_demand_radar', o.id::text, o.version) FROM old_rows AS o
    WHERE o.version >= 2000000000;
    -- The dedupe key of an archived row stays taken.
    INSERT INTO ledger.tombstones AS t (stream, row_type, version, dedupe_key)
    SELECT o.id, 'radar', o.version + 1, (
        SELECT e.data ->> 'dedupe_key' FROM ledger.events AS e
        WHERE e.entry >= allocated AND e.entry <= allocated AND e.stream = o.id AND e.version = o.version + 1
          AND e.type = 'radar.archived' AND e.command IS NOT NULL AND e.xmin = own)
    FROM old_rows AS o
    ON CONFLICT (stream) DO UPDATE SET version = greatest(t.version, EXCLUDED.version),
        row_type = EXCLUDED.row_type, dedupe_key = EXCLUDED.dedupe_key;
    IF NOT EXISTS (SELECT FROM old_rows AS o WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'radar.removed', '{' || manual_change || '}'
    FROM old_rows AS o
    WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_demand_radar', since, false);
    PERFORM ledger.capture_reset_planner(pinned);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_delete_ops_mission_proposals()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    allocated CONSTANT bigint := nullif(current_setting('opsledger.entry', true), '')::bigint;
    own CONSTANT xid := pg_current_xact_id()::xid;
    since bigint;
    manual_change text;
    pinned text[];
BEGIN
    IF TG_RELID <> 'public.ops_mission_proposals'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_proposals only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.capture_next_version('ops_mission_proposals', o.id::text, o.version) FROM old_rows AS o
    WHERE o.version >= 2000000000;
    -- The dedupe key of an archived row stays taken.
    INSERT INTO ledger.tombstones AS t (stream, row_type, version, dedupe_key)
    SELECT o.id, 'proposal', o.version + 1, (
        SELECT e.data ->> 'dedupe_key' FROM ledger.events AS e
        WHERE e.entry >= allocated AND e.entry <= allocated AND e.stream = o.id AND e.version = o.version + 1
          AND e.type = 'proposal.archived' AND e.command IS NOT NULL AND e.xmin = own)
    FROM old_rows AS o
    ON CONFLICT (stream) DO UPDATE SET version = greatest(t.version, EXCLUDED.version),
        row_type = EXCLUDED.row_type, dedupe_key = EXCLUDED.dedupe_key;
    IF NOT EXISTS (SELECT FROM old_rows AS o WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'proposal.removed', '{' || manual_change || '}'
    FROM old_rows AS o
    WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_mission_proposals', since, false);
    PERFORM ledger.capture_reset_planner(pinned);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_delete_ops_mission_steps()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    allocated CONSTANT bigint := nullif(current_setting('opsledger.entry', true), '')::bigint;
    own CONSTANT xid := pg_current_xact_id()::xid;
    since bigint;
    manual_change text;
    pinned text[];
BEGIN
    IF TG_RELID <> 'public.ops_mission_steps'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_steps only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.capture_next_version('ops_mission_steps', o.id::text, o.version) FROM old_rows AS o
    WHERE o.version >= 2000000000;
    -- The dedupe key of an archived row stays taken.
    INSERT INTO ledger.tombstones AS t (stream, row_type, version, dedupe_key)
    SELECT o.id, 'step', o.version + 1, (
        SELECT e.data ->> 'dedupe_key' FROM ledger.events AS e
        WHERE e.entry >= allocated AND e.entry <= allocated AND e.stream = o.id AND e.version = o.version + 1
          AND e.type = 'step.archived' AND e.command IS NOT NULL AND e.xmin = own)
    FROM old_rows AS o
    ON CONFLICT (stream) DO UPDATE SET version = greatest(t.version, EXCLUDED.version),
        row_type = EXCLUDED.row_type, dedupe_key = EXCLUDED.dedupe_key;
    IF NOT EXISTS (SELECT FROM old_rows AS o WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'step.removed', '{' || manual_change || '}'
    FROM old_rows AS o
    WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_mission_steps', since, false);
    PERFORM ledger.capture_reset_planner(pinned);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_delete_ops_missions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    allocated CONSTANT bigint := nullif(current_setting('opsledger.entry', true), '')::bigint;
    own CONSTANT xid := pg_current_xact_id()::xid;
    since bigint;
    manual_change text;
    pinned text[];
BEGIN
    IF TG_RELID <> 'public.ops_missions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_missions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.capture_next_version('ops_missions', o.id::text, o.version) FROM old_rows AS o
    WHERE o.version >= 2000000000;
    -- The dedupe key of an archived row stays taken.
    INSERT INTO ledger.tombstones AS t (stream, row_type, version, dedupe_key)
    SELECT o.id, 'mission', o.version + 1, (
        SELECT e.data ->> 'dedupe_key' FROM ledger.events AS e
        WHERE e.entry >= allocated AND e.entry <= allocated AND e.stream = o.id AND e.version = o.version + 1
          AND e.type = 'mission.archived' AND e.command IS NOT NULL AND e.xmin = own)
    FROM old_rows AS o
    ON CONFLICT (stream) DO UPDATE SET version = greatest(t.version, EXCLUDED.version),
        row_type = EXCLUDED.row_type, dedupe_key = EXCLUDED.dedupe_key;
    IF NOT EXISTS (SELECT FROM old_rows AS o WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'mission.removed', '{' || manual_change || '}'
    FROM old_rows AS o
    WHERE allocated IS NULL OR NOT (o.id, o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_missions', since, false);
    PERFORM ledger.capture_reset_planner(pinned);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_delete_ops_policy()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    allocated CONSTANT bigint := nullif(current_setting('opsledger.entry', true), '')::bigint;
    own CONSTANT xid := pg_current_xact_id()::xid;
    since bigint;
    manual_change text;
    pinned text[];
BEGIN
    IF TG_RELID <> 'public.ops_policy'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_policy only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.capture_next_version('ops_policy', o.key::text, o.version) FROM old_rows AS o
    WHERE o.version >= 2000000000;
    -- The dedupe key of an archived row stays taken.
    INSERT INTO ledger.tombstones AS t (stream, row_type, version, dedupe_key)
    SELECT ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) o.key), 'policy', o.version + 1, (
        SELECT e.data ->> 'dedupe_key' FROM ledger.events AS e
        WHERE e.entry >= allocated AND e.entry <= allocated AND e.stream = ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) o.key) AND e.version = o.version + 1
          AND e.type = 'policy.archived' AND e.command IS NOT NULL AND e.xmin = own)
    FROM old_rows AS o
    ON CONFLICT (stream) DO UPDATE SET version = greatest(t.version, EXCLUDED.version),
        row_type = EXCLUDED.row_type, dedupe_key = EXCLUDED.dedupe_key;
    IF NOT EXISTS (SELECT FROM old_rows AS o WHERE allocated IS NULL OR NOT (ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) o.key), o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) o.key), o.version + 1, 'policy.removed', '{' || manual_change || '}'
    FROM old_rows AS o
    WHERE allocated IS NULL OR NOT (ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) o.key), o.version + 1) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_policy', since, false);
    PERFORM ledger.capture_reset_planner(pinned);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_ops_action_runs()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_action_runs'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_action_runs only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'run.inserted',
        '{"columns": {' || concat_ws(', ',
            '"id": ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_action_runs.id', NULL)),
            '"run_id": ' || coalesce(to_json(n.run_id::text)::text, 'null'),
            '"step_id": ' || coalesce('"' || n.step_id || '"', 'null'),
            '"executor": ' || coalesce(to_json(n.executor::text)::text, 'null'),
            '"status": ' || coalesce(CASE WHEN n.status IS NULL OR n.status::text = ANY ('{started,succeeded,failed}') THEN to_json(n.status::text)::text ELSE ledger.capture_refuse_value('ops_action_runs.status', n.status::text) END, ledger.capture_refuse_value('ops_action_runs.status', NULL)),
            '"started_at": ' || coalesce(ledger.capture_time(n.started_at), ledger.capture_refuse_value('ops_action_runs.started_at', NULL)),
            '"completed_at": ' || coalesce(ledger.capture_time(n.completed_at), 'null'),
            '"meta": ' || coalesce(ledger.capture_json(ledger.capture_erased('ops_action_runs', n.meta)), 'null')) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            '"meta": ' || ledger.capture_json(n.meta),
            '"error": ' || to_json(n.error::text)::text) || '}', '{}')
    FROM new_rows AS n
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_action_runs', since, true);
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_ops_agent_events()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_agent_events'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_events only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'agent_event.inserted',
        '{"columns": {' || concat_ws(', ',
            '"id": ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_agent_events.id', NULL)),
            '"dedupe_key": ' || coalesce(to_json(n.dedupe_key::text)::text, 'null'),
            '"type": ' || coalesce(to_json(n.type::text)::text, ledger.capture_refuse_value('ops_agent_events.type', NULL)),
            '"mission_id": ' || coalesce('"' || n.mission_id || '"', 'null'),
            '"processed_at": ' || coalesce(ledger.capture_time(n.processed_at), 'null'),
            '"created_at": ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_agent_events.created_at', NULL))) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            '"data": ' || coalesce(ledger.capture_json(n.data), ledger.capture_refuse_value('ops_agent_events.data', NULL)),
            '"thought": ' || to_json(n.thought::text)::text) || '}', '{}')
    FROM new_rows AS n
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_refuse_key('agent_event', n.id, n.dedupe_key) FROM new_rows AS n
    WHERE n.dedupe_key IS NOT NULL AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own));
    PERFORM ledger.capture_check('ops_agent_events', since, true);
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_ops_agent_reactions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_agent_reactions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_reactions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'reaction.inserted',
        '{"columns": {' || concat_ws(', ',
            '"id": ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_agent_reactions.id', NULL)),
            '"event_id": ' || coalesce('"' || n.event_id || '"', 'null'),
            '"status": ' || coalesce(CASE WHEN n.status IS NULL OR n.status::text = ANY ('{queued,processing,done,failed}') THEN to_json(n.status::text)::text ELSE ledger.capture_refuse_value('ops_agent_reactions.status', n.status::text) END, ledger.capture_refuse_value('ops_agent_reactions.status', NULL)),
            '"payload": ' || coalesce(ledger.capture_json(ledger.capture_erased('ops_agent_reactions', n.payload)), ledger.capture_refuse_value('ops_agent_reactions.payload', NULL)),
            '"created_at": ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_agent_reactions.created_at', NULL)),
            '"updated_at": ' || coalesce(ledger.capture_time(n.updated_at), ledger.capture_refuse_value('ops_agent_reactions.updated_at', NULL))) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            '"payload": ' || coalesce(ledger.capture_json(n.payload), ledger.capture_refuse_value('ops_agent_reactions.payload', NULL))) || '}', '{}')
    FROM new_rows AS n
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_agent_reactions', since, true);
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_ops_demand_radar()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_demand_radar'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_demand_radar only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'radar.inserted',
        '{"columns": {' || concat_ws(', ',
            '"id": ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_demand_radar.id', NULL)),
            '"stage": ' || coalesce(CASE WHEN n.stage IS NULL OR n.stage::text = ANY ('{watching,validating,building,shipped}') THEN to_json(n.stage::text)::text ELSE ledger.capture_refuse_value('ops_demand_radar.stage', n.stage::text) END, ledger.capture_refuse_value('ops_demand_radar.stage', NULL)),
            '"created_at": ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_demand_radar.created_at', NULL)),
            '"updated_at": ' || coalesce(ledger.capture_time(n.updated_at), ledger.capture_refuse_value('ops_demand_radar.updated_at', NULL))) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            '"title": ' || coalesce(to_json(n.title::text)::text, ledger.capture_refuse_value('ops_demand_radar.title', NULL)),
            '"description": ' || to_json(n.description::text)::text,
            '"notes": ' || to_json(n.notes::text)::text) || '}', '{}')
    FROM new_rows AS n
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_demand_radar', since, true);
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_ops_mission_proposals()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_mission_proposals'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_proposals only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'proposal.inserted',
        '{"columns": {' || concat_ws(', ',
            '"id": ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_mission_proposals.id', NULL)),
            '"dedupe_key": ' || coalesce(to_json(n.dedupe_key::text)::text, 'null'),
            '"source": ' || coalesce(CASE WHEN n.source IS NULL OR n.source::text = ANY ('{api,trigger,reaction,manual}') THEN to_json(n.source::text)::text ELSE ledger.capture_refuse_value('ops_mission_proposals.source', n.source::text) END, ledger.capture_refuse_value('ops_mission_proposals.source', NULL)),
            '"status": ' || coalesce(CASE WHEN n.status IS NULL OR n.status::text = ANY ('{pending,approved,rejected,auto_approved,voting}') THEN to_json(n.status::text)::text ELSE ledger.capture_refuse_value('ops_mission_proposals.status', n.status::text) END, ledger.capture_refuse_value('ops_mission_proposals.status', NULL)),
            '"policy_snapshot": ' || coalesce(ledger.capture_json(n.policy_snapshot), 'null'),
            '"approved_at": ' || coalesce(ledger.capture_time(n.approved_at), 'null'),
            '"created_at": ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_mission_proposals.created_at', NULL)),
            '"votes": ' || coalesce(ledger.capture_json(ledger.capture_erased('ops_mission_proposals', n.votes)), 'null')) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            '"template": ' || coalesce(ledger.capture_json(n.template), ledger.capture_refuse_value('ops_mission_proposals.template', NULL)),
            '"reason": ' || to_json(n.reason::text)::text,
            '"votes": ' || ledger.capture_json(n.votes)) || '}', '{}')
    FROM new_rows AS n
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_refuse_key('proposal', n.id, n.dedupe_key) FROM new_rows AS n
    WHERE n.dedupe_key IS NOT NULL AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own));
    PERFORM ledger.capture_check('ops_mission_proposals', since, true);
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_ops_mission_steps()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_mission_steps'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_steps only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'step.inserted',
        '{"columns": {' || concat_ws(', ',
            '"id": ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_mission_steps.id', NULL)),
            '"mission_id": ' || coalesce('"' || n.mission_id || '"', ledger.capture_refuse_value('ops_mission_steps.mission_id', NULL)),
            '"kind": ' || coalesce(to_json(n.kind::text)::text, ledger.capture_refuse_value('ops_mission_steps.kind', NULL)),
            '"status": ' || coalesce(CASE WHEN n.status IS NULL OR n.status::text = ANY ('{queued,running,succeeded,failed}') THEN to_json(n.status::text)::text ELSE ledger.capture_refuse_value('ops_mission_steps.status', n.status::text) END, ledger.capture_refuse_value('ops_mission_steps.status', NULL)),
            '"executor": ' || coalesce(to_json(n.executor::text)::text, 'null'),
            '"reserved_at": ' || coalesce(ledger.capture_time(n.reserved_at), 'null'),
            '"lease_expires_at": ' || coalesce(ledger.capture_time(n.lease_expires_at), 'null'),
            '"failure_count": ' || coalesce(n.failure_count::text, ledger.capture_refuse_value('ops_mission_steps.failure_count', NULL)),
            '"max_retries": ' || coalesce(n.max_retries::text, 'null'),
            '"created_at": ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_mission_steps.created_at', NULL)),
            '"updated_at": ' || coalesce(ledger.capture_time(n.updated_at), ledger.capture_refuse_value('ops_mission_steps.updated_at', NULL)),
            '"ordinal": ' || coalesce(n.ordinal::text, 'null'),
            '"needs": ' || coalesce(ledger.capture_integers(n.needs), 'null'),
            '"not_before": ' || coalesce(ledger.capture_time(n.not_before), 'null'),
            '"leased_by": ' || coalesce(to_json(n.leased_by::text)::text, 'null')) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            '"params": ' || coalesce(ledger.capture_json(n.params), ledger.capture_refuse_value('ops_mission_steps.params', NULL)),
            '"last_error": ' || to_json(n.last_error::text)::text,
            '"result": ' || ledger.capture_json(n.result)) || '}', '{}')
    FROM new_rows AS n
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_mission_steps', since, true);
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_ops_missions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_missions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_missions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'mission.inserted',
        '{"columns": {' || concat_ws(', ',
            '"id": ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_missions.id', NULL)),
            '"proposal_id": ' || coalesce('"' || n.proposal_id || '"', 'null'),
            '"status": ' || coalesce(CASE WHEN n.status IS NULL OR n.status::text = ANY ('{approved,running,succeeded,failed}') THEN to_json(n.status::text)::text ELSE ledger.capture_refuse_value('ops_missions.status', n.status::text) END, ledger.capture_refuse_value('ops_missions.status', NULL)),
            '"policy_snapshot": ' || coalesce(ledger.capture_json(n.policy_snapshot), 'null'),
            '"started_at": ' || coalesce(ledger.capture_time(n.started_at), 'null'),
            '"completed_at": ' || coalesce(ledger.capture_time(n.completed_at), 'null'),
            '"created_at": ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_missions.created_at', NULL)),
            '"updated_at": ' || coalesce(ledger.capture_time(n.updated_at), ledger.capture_refuse_value('ops_missions.updated_at', NULL))) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', NULL) || '}', '{}')
    FROM new_rows AS n
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_missions', since, true);
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_ops_policy()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) n.key), n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_policy'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_policy only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) n.key), n.version, 'policy.inserted',
        '{"columns": {' || concat_ws(', ',
            '"key": ' || coalesce(to_json(n.key::text)::text, ledger.capture_refuse_value('ops_policy.key', NULL)),
            '"value": ' || coalesce(ledger.capture_json(n.value), ledger.capture_refuse_value('ops_policy.value', NULL)),
            '"updated_at": ' || coalesce(ledger.capture_time(n.updated_at), ledger.capture_refuse_value('ops_policy.updated_at', NULL))) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', NULL) || '}', '{}')
    FROM new_rows AS n
    WHERE allocated IS NULL OR NOT (ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) n.key), n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    PERFORM ledger.capture_check('ops_policy', since, true);
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_row_ops_action_runs()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_action_runs'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_action_runs only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.version = 0 OR NOT ledger.capture_is_own(NEW.id, NEW.version) THEN
        NEW.version := ledger.capture_next_version('ops_action_runs', NEW.id::text, greatest(
            (SELECT t.version FROM ledger.tombstones AS t WHERE t.stream = NEW.id),
            (SELECT r.version FROM public.ops_action_runs AS r WHERE r.id = NEW.id), 0));
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_row_ops_agent_events()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_agent_events'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_events only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.version = 0 OR NOT ledger.capture_is_own(NEW.id, NEW.version) THEN
        NEW.version := ledger.capture_next_version('ops_agent_events', NEW.id::text, greatest(
            (SELECT t.version FROM ledger.tombstones AS t WHERE t.stream = NEW.id),
            (SELECT r.version FROM public.ops_agent_events AS r WHERE r.id = NEW.id), 0));
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_row_ops_agent_reactions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_agent_reactions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_reactions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.version = 0 OR NOT ledger.capture_is_own(NEW.id, NEW.version) THEN
        NEW.version := ledger.capture_next_version('ops_agent_reactions', NEW.id::text, greatest(
            (SELECT t.version FROM ledger.tombstones AS t WHERE t.stream = NEW.id),
            (SELECT r.version FROM public.ops_agent_reactions AS r WHERE r.id = NEW.id), 0));
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_row_ops_demand_radar()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_demand_radar'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_demand_radar only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.version = 0 OR NOT ledger.capture_is_own(NEW.id, NEW.version) THEN
        NEW.version := ledger.capture_next_version('ops_demand_radar', NEW.id::text, greatest(
            (SELECT t.version FROM ledger.tombstones AS t WHERE t.stream = NEW.id),
            (SELECT r.version FROM public.ops_demand_radar AS r WHERE r.id = NEW.id), 0));
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_row_ops_mission_proposals()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_mission_proposals'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_proposals only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.version = 0 OR NOT ledger.capture_is_own(NEW.id, NEW.version) THEN
        NEW.version := ledger.capture_next_version('ops_mission_proposals', NEW.id::text, greatest(
            (SELECT t.version FROM ledger.tombstones AS t WHERE t.stream = NEW.id),
            (SELECT r.version FROM public.ops_mission_proposals AS r WHERE r.id = NEW.id), 0));
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_row_ops_mission_steps()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_mission_steps'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_steps only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.version = 0 OR NOT ledger.capture_is_own(NEW.id, NEW.version) THEN
        NEW.version := ledger.capture_next_version('ops_mission_steps', NEW.id::text, greatest(
            (SELECT t.version FROM ledger.tombstones AS t WHERE t.stream = NEW.id),
            (SELECT r.version FROM public.ops_mission_steps AS r WHERE r.id = NEW.id), 0));
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_row_ops_missions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_missions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_missions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.version = 0 OR NOT ledger.capture_is_own(NEW.id, NEW.version) THEN
        NEW.version := ledger.capture_next_version('ops_missions', NEW.id::text, greatest(
            (SELECT t.version FROM ledger.tombstones AS t WHERE t.stream = NEW.id),
            (SELECT r.version FROM public.ops_missions AS r WHERE r.id = NEW.id), 0));
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_insert_row_ops_policy()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_policy'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_policy only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.version = 0 OR NOT ledger.capture_is_own(ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) NEW.key), NEW.version) THEN
        NEW.version := ledger.capture_next_version('ops_policy', NEW.key::text, greatest(
            (SELECT t.version FROM ledger.tombstones AS t WHERE t.stream = ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) NEW.key)),
            (SELECT r.version FROM public.ops_policy AS r WHERE r.key = NEW.key), 0));
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_truncate_ops_action_runs()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    since bigint;
    manual_change text;
BEGIN
    IF TG_RELID <> 'public.ops_action_runs'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_action_runs only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.require_read_committed('TRUNCATE of ops_action_runs');
    IF NOT EXISTS (SELECT FROM public.ops_action_runs) THEN
        RETURN NULL;
    END IF;
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    PERFORM ledger.capture_next_version('ops_action_runs', o.id::text, o.version) FROM public.ops_action_runs AS o
    WHERE o.version >= 2000000000;
    INSERT INTO ledger.tombstones AS t (stream, row_type, version)
    SELECT o.id, 'run', o.version + 1 FROM public.ops_action_runs AS o
    ON CONFLICT (stream) DO UPDATE
        SET version = greatest(t.version, EXCLUDED.version), row_type = EXCLUDED.row_type;
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'run.removed', '{' || manual_change || '}'
    FROM public.ops_action_runs AS o;
    PERFORM ledger.capture_check('ops_action_runs', since, false);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_truncate_ops_agent_events()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    since bigint;
    manual_change text;
BEGIN
    IF TG_RELID <> 'public.ops_agent_events'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_events only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.require_read_committed('TRUNCATE of ops_agent_events');
    IF NOT EXISTS (SELECT FROM public.ops_agent_events) THEN
        RETURN NULL;
    END IF;
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    PERFORM ledger.capture_next_version('ops_agent_events', o.id::text, o.version) FROM public.ops_agent_events AS o
    WHERE o.version >= 2000000000;
    INSERT INTO ledger.tombstones AS t (stream, row_type, version)
    SELECT o.id, 'agent_event', o.version + 1 FROM public.ops_agent_events AS o
    ON CONFLICT (stream) DO UPDATE
        SET version = greatest(t.version, EXCLUDED.version), row_type = EXCLUDED.row_type;
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'agent_event.removed', '{' || manual_change || '}'
    FROM public.ops_agent_events AS o;
    PERFORM ledger.capture_check('ops_agent_events', since, false);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_truncate_ops_agent_reactions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    since bigint;
    manual_change text;
BEGIN
    IF TG_RELID <> 'public.ops_agent_reactions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_reactions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.require_read_committed('TRUNCATE of ops_agent_reactions');
    IF NOT EXISTS (SELECT FROM public.ops_agent_reactions) THEN
        RETURN NULL;
    END IF;
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    PERFORM ledger.capture_next_version('ops_agent_reactions', o.id::text, o.version) FROM public.ops_agent_reactions AS o
    WHERE o.version >= 2000000000;
    INSERT INTO ledger.tombstones AS t (stream, row_type, version)
    SELECT o.id, 'reaction', o.version + 1 FROM public.ops_agent_reactions AS o
    ON CONFLICT (stream) DO UPDATE
        SET version = greatest(t.version, EXCLUDED.version), row_type = EXCLUDED.row_type;
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'reaction.removed', '{' || manual_change || '}'
    FROM public.ops_agent_reactions AS o;
    PERFORM ledger.capture_check('ops_agent_reactions', since, false);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_truncate_ops_demand_radar()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    since bigint;
    manual_change text;
BEGIN
    IF TG_RELID <> 'public.ops_demand_radar'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_demand_radar only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.require_read_committed('TRUNCATE of ops_demand_radar');
    IF NOT EXISTS (SELECT FROM public.ops_demand_radar) THEN
        RETURN NULL;
    END IF;
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    PERFORM ledger.capture_next_version('ops_demand_radar', o.id::text, o.version) FROM public.ops_demand_radar AS o
    WHERE o.version >= 2000000000;
    INSERT INTO ledger.tombstones AS t (stream, row_type, version)
    SELECT o.id, 'radar', o.version + 1 FROM public.ops_demand_radar AS o
    ON CONFLICT (stream) DO UPDATE
        SET version = greatest(t.version, EXCLUDED.version), row_type = EXCLUDED.row_type;
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'radar.removed', '{' || manual_change || '}'
    FROM public.ops_demand_radar AS o;
    PERFORM ledger.capture_check('ops_demand_radar', since, false);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_truncate_ops_mission_proposals()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    since bigint;
    manual_change text;
BEGIN
    IF TG_RELID <> 'public.ops_mission_proposals'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_proposals only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.require_read_committed('TRUNCATE of ops_mission_proposals');
    IF NOT EXISTS (SELECT FROM public.ops_mission_proposals) THEN
        RETURN NULL;
    END IF;
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    PERFORM ledger.capture_next_version('ops_mission_proposals', o.id::text, o.version) FROM public.ops_mission_proposals AS o
    WHERE o.version >= 2000000000;
    INSERT INTO ledger.tombstones AS t (stream, row_type, version)
    SELECT o.id, 'proposal', o.version + 1 FROM public.ops_mission_proposals AS o
    ON CONFLICT (stream) DO UPDATE
        SET version = greatest(t.version, EXCLUDED.version), row_type = EXCLUDED.row_type;
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'proposal.removed', '{' || manual_change || '}'
    FROM public.ops_mission_proposals AS o;
    PERFORM ledger.capture_check('ops_mission_proposals', since, false);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_truncate_ops_mission_steps()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    since bigint;
    manual_change text;
BEGIN
    IF TG_RELID <> 'public.ops_mission_steps'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_steps only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.require_read_committed('TRUNCATE of ops_mission_steps');
    IF NOT EXISTS (SELECT FROM public.ops_mission_steps) THEN
        RETURN NULL;
    END IF;
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    PERFORM ledger.capture_next_version('ops_mission_steps', o.id::text, o.version) FROM public.ops_mission_steps AS o
    WHERE o.version >= 2000000000;
    INSERT INTO ledger.tombstones AS t (stream, row_type, version)
    SELECT o.id, 'step', o.version + 1 FROM public.ops_mission_steps AS o
    ON CONFLICT (stream) DO UPDATE
        SET version = greatest(t.version, EXCLUDED.version), row_type = EXCLUDED.row_type;
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'step.removed', '{' || manual_change || '}'
    FROM public.ops_mission_steps AS o;
    PERFORM ledger.capture_check('ops_mission_steps', since, false);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_truncate_ops_missions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    since bigint;
    manual_change text;
BEGIN
    IF TG_RELID <> 'public.ops_missions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_missions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.require_read_committed('TRUNCATE of ops_missions');
    IF NOT EXISTS (SELECT FROM public.ops_missions) THEN
        RETURN NULL;
    END IF;
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    PERFORM ledger.capture_next_version('ops_missions', o.id::text, o.version) FROM public.ops_missions AS o
    WHERE o.version >= 2000000000;
    INSERT INTO ledger.tombstones AS t (stream, row_type, version)
    SELECT o.id, 'mission', o.version + 1 FROM public.ops_missions AS o
    ON CONFLICT (stream) DO UPDATE
        SET version = greatest(t.version, EXCLUDED.version), row_type = EXCLUDED.row_type;
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', o.id, o.version + 1, 'mission.removed', '{' || manual_change || '}'
    FROM public.ops_missions AS o;
    PERFORM ledger.capture_check('ops_missions', since, false);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_truncate_ops_policy()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET row_security TO 'off'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    since bigint;
    manual_change text;
BEGIN
    IF TG_RELID <> 'public.ops_policy'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_policy only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM ledger.require_read_committed('TRUNCATE of ops_policy');
    IF NOT EXISTS (SELECT FROM public.ops_policy) THEN
        RETURN NULL;
    END IF;
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    PERFORM ledger.capture_next_version('ops_policy', o.key::text, o.version) FROM public.ops_policy AS o
    WHERE o.version >= 2000000000;
    INSERT INTO ledger.tombstones AS t (stream, row_type, version)
    SELECT ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) o.key), 'policy', o.version + 1 FROM public.ops_policy AS o
    ON CONFLICT (stream) DO UPDATE
        SET version = greatest(t.version, EXCLUDED.version), row_type = EXCLUDED.row_type;
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) o.key), o.version + 1, 'policy.removed', '{' || manual_change || '}'
    FROM public.ops_policy AS o;
    PERFORM ledger.capture_check('ops_policy', since, false);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_ops_action_runs()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
    staged bigint;
    wrong pg_catalog.record;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_action_runs'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_action_runs only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    -- A row that the statement changed twice is there twice, so rows are joined by their versions too.
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'run.amended',
        '{"changes": {' || concat_ws(', ',
            CASE WHEN o.id IS DISTINCT FROM n.id THEN '"id": [' || coalesce('"' || o.id || '"', 'null') || ', ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_action_runs.id', NULL)) || ']' END,
            CASE WHEN o.run_id IS DISTINCT FROM n.run_id THEN '"run_id": [' || coalesce(to_json(o.run_id::text)::text, 'null') || ', ' || coalesce(to_json(n.run_id::text)::text, 'null') || ']' END,
            CASE WHEN o.step_id IS DISTINCT FROM n.step_id THEN '"step_id": [' || coalesce('"' || o.step_id || '"', 'null') || ', ' || coalesce('"' || n.step_id || '"', 'null') || ']' END,
            CASE WHEN o.executor IS DISTINCT FROM n.executor THEN '"executor": [' || coalesce(to_json(o.executor::text)::text, 'null') || ', ' || coalesce(to_json(n.executor::text)::text, 'null') || ']' END,
            CASE WHEN o.status IS DISTINCT FROM n.status THEN '"status": [' || coalesce(CASE WHEN o.status IS NULL OR o.status::text = ANY ('{started,succeeded,failed}') THEN to_json(o.status::text)::text ELSE ledger.capture_refuse_value('ops_action_runs.status', o.status::text) END, 'null') || ', ' || coalesce(CASE WHEN n.status IS NULL OR n.status::text = ANY ('{started,succeeded,failed}') THEN to_json(n.status::text)::text ELSE ledger.capture_refuse_value('ops_action_runs.status', n.status::text) END, ledger.capture_refuse_value('ops_action_runs.status', NULL)) || ']' END,
            CASE WHEN o.started_at IS DISTINCT FROM n.started_at THEN '"started_at": [' || coalesce(ledger.capture_time(o.started_at), 'null') || ', ' || coalesce(ledger.capture_time(n.started_at), ledger.capture_refuse_value('ops_action_runs.started_at', NULL)) || ']' END,
            CASE WHEN o.completed_at IS DISTINCT FROM n.completed_at THEN '"completed_at": [' || coalesce(ledger.capture_time(o.completed_at), 'null') || ', ' || coalesce(ledger.capture_time(n.completed_at), 'null') || ']' END,
            CASE WHEN ROW(o.meta)::record *<> ROW(n.meta)::record THEN '"meta": [' || coalesce(ledger.capture_json(ledger.capture_erased('ops_action_runs', o.meta)), 'null') || ', ' || coalesce(ledger.capture_json(ledger.capture_erased('ops_action_runs', n.meta)), 'null') || ']' END) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            CASE WHEN ROW(o.meta)::record *<> ROW(n.meta)::record THEN '"meta": [' || coalesce(ledger.capture_json(o.meta), 'null') || ', ' || coalesce(ledger.capture_json(n.meta), 'null') || ']' END,
            CASE WHEN o.error IS DISTINCT FROM n.error THEN '"error": [' || coalesce(to_json(o.error::text)::text, 'null') || ', ' || coalesce(to_json(n.error::text)::text, 'null') || ']' END) || '}', '{}')
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    GET DIAGNOSTICS staged = ROW_COUNT;
    IF staged <> (SELECT count(*) FROM new_rows) THEN
        -- The other rows are unchanged, or recorded already, or wrong.
        SELECT n.id AS key, n.version INTO wrong
        FROM new_rows AS n
        WHERE NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version + 1 = n.version)
          AND NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version = n.version
                  AND NOT ROW(o.id, o.run_id, o.step_id, o.executor, o.status, o.started_at, o.completed_at, o.meta, o.error)::record *<> ROW(n.id, n.run_id, n.step_id, n.executor, n.status, n.started_at, n.completed_at, n.meta, n.error)::record)
          AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own))
        LIMIT 1;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM old_rows AS o WHERE o.id = wrong.key) THEN
                PERFORM ledger.capture_refuse_key_change('ops_action_runs', 'another key', wrong.key::text);
            END IF;
            PERFORM ledger.capture_refuse_version('ops_action_runs', wrong.key::text, wrong.version);
        END IF;
    END IF;
    IF staged > 0 THEN
        PERFORM ledger.capture_check('ops_action_runs', since, false);
    END IF;
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_ops_agent_events()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
    staged bigint;
    wrong pg_catalog.record;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_agent_events'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_events only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    -- A row that the statement changed twice is there twice, so rows are joined by their versions too.
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'agent_event.amended',
        '{"changes": {' || concat_ws(', ',
            CASE WHEN o.id IS DISTINCT FROM n.id THEN '"id": [' || coalesce('"' || o.id || '"', 'null') || ', ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_agent_events.id', NULL)) || ']' END,
            CASE WHEN o.dedupe_key IS DISTINCT FROM n.dedupe_key THEN '"dedupe_key": [' || coalesce(to_json(o.dedupe_key::text)::text, 'null') || ', ' || coalesce(to_json(n.dedupe_key::text)::text, 'null') || ']' END,
            CASE WHEN o.type IS DISTINCT FROM n.type THEN '"type": [' || coalesce(to_json(o.type::text)::text, 'null') || ', ' || coalesce(to_json(n.type::text)::text, ledger.capture_refuse_value('ops_agent_events.type', NULL)) || ']' END,
            CASE WHEN o.mission_id IS DISTINCT FROM n.mission_id THEN '"mission_id": [' || coalesce('"' || o.mission_id || '"', 'null') || ', ' || coalesce('"' || n.mission_id || '"', 'null') || ']' END,
            CASE WHEN o.processed_at IS DISTINCT FROM n.processed_at THEN '"processed_at": [' || coalesce(ledger.capture_time(o.processed_at), 'null') || ', ' || coalesce(ledger.capture_time(n.processed_at), 'null') || ']' END,
            CASE WHEN o.created_at IS DISTINCT FROM n.created_at THEN '"created_at": [' || coalesce(ledger.capture_time(o.created_at), 'null') || ', ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_agent_events.created_at', NULL)) || ']' END) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            CASE WHEN ROW(o.data)::record *<> ROW(n.data)::record THEN '"data": [' || coalesce(ledger.capture_json(o.data), 'null') || ', ' || coalesce(ledger.capture_json(n.data), ledger.capture_refuse_value('ops_agent_events.data', NULL)) || ']' END,
            CASE WHEN o.thought IS DISTINCT FROM n.thought THEN '"thought": [' || coalesce(to_json(o.thought::text)::text, 'null') || ', ' || coalesce(to_json(n.thought::text)::text, 'null') || ']' END) || '}', '{}')
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    GET DIAGNOSTICS staged = ROW_COUNT;
    IF staged <> (SELECT count(*) FROM new_rows) THEN
        -- The other rows are unchanged, or recorded already, or wrong.
        SELECT n.id AS key, n.version INTO wrong
        FROM new_rows AS n
        WHERE NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version + 1 = n.version)
          AND NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version = n.version
                  AND NOT ROW(o.id, o.dedupe_key, o.type, o.data, o.mission_id, o.processed_at, o.created_at, o.thought)::record *<> ROW(n.id, n.dedupe_key, n.type, n.data, n.mission_id, n.processed_at, n.created_at, n.thought)::record)
          AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own))
        LIMIT 1;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM old_rows AS o WHERE o.id = wrong.key) THEN
                PERFORM ledger.capture_refuse_key_change('ops_agent_events', 'another key', wrong.key::text);
            END IF;
            PERFORM ledger.capture_refuse_version('ops_agent_events', wrong.key::text, wrong.version);
        END IF;
    END IF;
    IF staged > 0 THEN
        PERFORM ledger.capture_refuse_key('agent_event', n.id, n.dedupe_key)
        FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
        WHERE n.dedupe_key IS DISTINCT FROM o.dedupe_key AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own));
        PERFORM ledger.capture_check('ops_agent_events', since, false);
    END IF;
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_ops_agent_reactions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
    staged bigint;
    wrong pg_catalog.record;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_agent_reactions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_reactions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    -- A row that the statement changed twice is there twice, so rows are joined by their versions too.
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'reaction.amended',
        '{"changes": {' || concat_ws(', ',
            CASE WHEN o.id IS DISTINCT FROM n.id THEN '"id": [' || coalesce('"' || o.id || '"', 'null') || ', ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_agent_reactions.id', NULL)) || ']' END,
            CASE WHEN o.event_id IS DISTINCT FROM n.event_id THEN '"event_id": [' || coalesce('"' || o.event_id || '"', 'null') || ', ' || coalesce('"' || n.event_id || '"', 'null') || ']' END,
            CASE WHEN o.status IS DISTINCT FROM n.status THEN '"status": [' || coalesce(CASE WHEN o.status IS NULL OR o.status::text = ANY ('{queued,processing,done,failed}') THEN to_json(o.status::text)::text ELSE ledger.capture_refuse_value('ops_agent_reactions.status', o.status::text) END, 'null') || ', ' || coalesce(CASE WHEN n.status IS NULL OR n.status::text = ANY ('{queued,processing,done,failed}') THEN to_json(n.status::text)::text ELSE ledger.capture_refuse_value('ops_agent_reactions.status', n.status::text) END, ledger.capture_refuse_value('ops_agent_reactions.status', NULL)) || ']' END,
            CASE WHEN ROW(o.payload)::record *<> ROW(n.payload)::record THEN '"payload": [' || coalesce(ledger.capture_json(ledger.capture_erased('ops_agent_reactions', o.payload)), 'null') || ', ' || coalesce(ledger.capture_json(ledger.capture_erased('ops_agent_reactions', n.payload)), ledger.capture_refuse_value('ops_agent_reactions.payload', NULL)) || ']' END,
            CASE WHEN o.created_at IS DISTINCT FROM n.created_at THEN '"created_at": [' || coalesce(ledger.capture_time(o.created_at), 'null') || ', ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_agent_reactions.created_at', NULL)) || ']' END,
            CASE WHEN o.updated_at IS DISTINCT FROM n.updated_at THEN '"updated_at": [' || coalesce(ledger.capture_time(o.updated_at), 'null') || ', ' || coalesce(ledger.capture_time(n.updated_at), ledger.capture_refuse_value('ops_agent_reactions.updated_at', NULL)) || ']' END) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            CASE WHEN ROW(o.payload)::record *<> ROW(n.payload)::record THEN '"payload": [' || coalesce(ledger.capture_json(o.payload), 'null') || ', ' || coalesce(ledger.capture_json(n.payload), ledger.capture_refuse_value('ops_agent_reactions.payload', NULL)) || ']' END) || '}', '{}')
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    GET DIAGNOSTICS staged = ROW_COUNT;
    IF staged <> (SELECT count(*) FROM new_rows) THEN
        -- The other rows are unchanged, or recorded already, or wrong.
        SELECT n.id AS key, n.version INTO wrong
        FROM new_rows AS n
        WHERE NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version + 1 = n.version)
          AND NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version = n.version
                  AND NOT ROW(o.id, o.event_id, o.status, o.payload, o.created_at, o.updated_at)::record *<> ROW(n.id, n.event_id, n.status, n.payload, n.created_at, n.updated_at)::record)
          AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own))
        LIMIT 1;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM old_rows AS o WHERE o.id = wrong.key) THEN
                PERFORM ledger.capture_refuse_key_change('ops_agent_reactions', 'another key', wrong.key::text);
            END IF;
            PERFORM ledger.capture_refuse_version('ops_agent_reactions', wrong.key::text, wrong.version);
        END IF;
    END IF;
    IF staged > 0 THEN
        PERFORM ledger.capture_check('ops_agent_reactions', since, false);
    END IF;
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_ops_demand_radar()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
    staged bigint;
    wrong pg_catalog.record;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_demand_radar'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_demand_radar only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    -- A row that the statement changed twice is there twice, so rows are joined by their versions too.
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'radar.amended',
        '{"changes": {' || concat_ws(', ',
            CASE WHEN o.id IS DISTINCT FROM n.id THEN '"id": [' || coalesce('"' || o.id || '"', 'null') || ', ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_demand_radar.id', NULL)) || ']' END,
            CASE WHEN o.stage IS DISTINCT FROM n.stage THEN '"stage": [' || coalesce(CASE WHEN o.stage IS NULL OR o.stage::text = ANY ('{watching,validating,building,shipped}') THEN to_json(o.stage::text)::text ELSE ledger.capture_refuse_value('ops_demand_radar.stage', o.stage::text) END, 'null') || ', ' || coalesce(CASE WHEN n.stage IS NULL OR n.stage::text = ANY ('{watching,validating,building,shipped}') THEN to_json(n.stage::text)::text ELSE ledger.capture_refuse_value('ops_demand_radar.stage', n.stage::text) END, ledger.capture_refuse_value('ops_demand_radar.stage', NULL)) || ']' END,
            CASE WHEN o.created_at IS DISTINCT FROM n.created_at THEN '"created_at": [' || coalesce(ledger.capture_time(o.created_at), 'null') || ', ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_demand_radar.created_at', NULL)) || ']' END,
            CASE WHEN o.updated_at IS DISTINCT FROM n.updated_at THEN '"updated_at": [' || coalesce(ledger.capture_time(o.updated_at), 'null') || ', ' || coalesce(ledger.capture_time(n.updated_at), ledger.capture_refuse_value('ops_demand_radar.updated_at', NULL)) || ']' END) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            CASE WHEN o.title IS DISTINCT FROM n.title THEN '"title": [' || coalesce(to_json(o.title::text)::text, 'null') || ', ' || coalesce(to_json(n.title::text)::text, ledger.capture_refuse_value('ops_demand_radar.title', NULL)) || ']' END,
            CASE WHEN o.description IS DISTINCT FROM n.description THEN '"description": [' || coalesce(to_json(o.description::text)::text, 'null') || ', ' || coalesce(to_json(n.description::text)::text, 'null') || ']' END,
            CASE WHEN o.notes IS DISTINCT FROM n.notes THEN '"notes": [' || coalesce(to_json(o.notes::text)::text, 'null') || ', ' || coalesce(to_json(n.notes::text)::text, 'null') || ']' END) || '}', '{}')
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    GET DIAGNOSTICS staged = ROW_COUNT;
    IF staged <> (SELECT count(*) FROM new_rows) THEN
        -- The other rows are unchanged, or recorded already, or wrong.
        SELECT n.id AS key, n.version INTO wrong
        FROM new_rows AS n
        WHERE NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version + 1 = n.version)
          AND NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version = n.version
                  AND NOT ROW(o.id, o.title, o.description, o.stage, o.notes, o.created_at, o.updated_at)::record *<> ROW(n.id, n.title, n.description, n.stage, n.notes, n.created_at, n.updated_at)::record)
          AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own))
        LIMIT 1;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM old_rows AS o WHERE o.id = wrong.key) THEN
                PERFORM ledger.capture_refuse_key_change('ops_demand_radar', 'another key', wrong.key::text);
            END IF;
            PERFORM ledger.capture_refuse_version('ops_demand_radar', wrong.key::text, wrong.version);
        END IF;
    END IF;
    IF staged > 0 THEN
        PERFORM ledger.capture_check('ops_demand_radar', since, false);
    END IF;
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_ops_mission_proposals()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
    staged bigint;
    wrong pg_catalog.record;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_mission_proposals'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_proposals only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    -- A row that the statement changed twice is there twice, so rows are joined by their versions too.
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'proposal.amended',
        '{"changes": {' || concat_ws(', ',
            CASE WHEN o.id IS DISTINCT FROM n.id THEN '"id": [' || coalesce('"' || o.id || '"', 'null') || ', ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_mission_proposals.id', NULL)) || ']' END,
            CASE WHEN o.dedupe_key IS DISTINCT FROM n.dedupe_key THEN '"dedupe_key": [' || coalesce(to_json(o.dedupe_key::text)::text, 'null') || ', ' || coalesce(to_json(n.dedupe_key::text)::text, 'null') || ']' END,
            CASE WHEN o.source IS DISTINCT FROM n.source THEN '"source": [' || coalesce(CASE WHEN o.source IS NULL OR o.source::text = ANY ('{api,trigger,reaction,manual}') THEN to_json(o.source::text)::text ELSE ledger.capture_refuse_value('ops_mission_proposals.source', o.source::text) END, 'null') || ', ' || coalesce(CASE WHEN n.source IS NULL OR n.source::text = ANY ('{api,trigger,reaction,manual}') THEN to_json(n.source::text)::text ELSE ledger.capture_refuse_value('ops_mission_proposals.source', n.source::text) END, ledger.capture_refuse_value('ops_mission_proposals.source', NULL)) || ']' END,
            CASE WHEN o.status IS DISTINCT FROM n.status THEN '"status": [' || coalesce(CASE WHEN o.status IS NULL OR o.status::text = ANY ('{pending,approved,rejected,auto_approved,voting}') THEN to_json(o.status::text)::text ELSE ledger.capture_refuse_value('ops_mission_proposals.status', o.status::text) END, 'null') || ', ' || coalesce(CASE WHEN n.status IS NULL OR n.status::text = ANY ('{pending,approved,rejected,auto_approved,voting}') THEN to_json(n.status::text)::text ELSE ledger.capture_refuse_value('ops_mission_proposals.status', n.status::text) END, ledger.capture_refuse_value('ops_mission_proposals.status', NULL)) || ']' END,
            CASE WHEN ROW(o.policy_snapshot)::record *<> ROW(n.policy_snapshot)::record THEN '"policy_snapshot": [' || coalesce(ledger.capture_json(o.policy_snapshot), 'null') || ', ' || coalesce(ledger.capture_json(n.policy_snapshot), 'null') || ']' END,
            CASE WHEN o.approved_at IS DISTINCT FROM n.approved_at THEN '"approved_at": [' || coalesce(ledger.capture_time(o.approved_at), 'null') || ', ' || coalesce(ledger.capture_time(n.approved_at), 'null') || ']' END,
            CASE WHEN o.created_at IS DISTINCT FROM n.created_at THEN '"created_at": [' || coalesce(ledger.capture_time(o.created_at), 'null') || ', ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_mission_proposals.created_at', NULL)) || ']' END,
            CASE WHEN ROW(o.votes)::record *<> ROW(n.votes)::record THEN '"votes": [' || coalesce(ledger.capture_json(ledger.capture_erased('ops_mission_proposals', o.votes)), 'null') || ', ' || coalesce(ledger.capture_json(ledger.capture_erased('ops_mission_proposals', n.votes)), 'null') || ']' END) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            CASE WHEN ROW(o.template)::record *<> ROW(n.template)::record THEN '"template": [' || coalesce(ledger.capture_json(o.template), 'null') || ', ' || coalesce(ledger.capture_json(n.template), ledger.capture_refuse_value('ops_mission_proposals.template', NULL)) || ']' END,
            CASE WHEN o.reason IS DISTINCT FROM n.reason THEN '"reason": [' || coalesce(to_json(o.reason::text)::text, 'null') || ', ' || coalesce(to_json(n.reason::text)::text, 'null') || ']' END,
            CASE WHEN ROW(o.votes)::record *<> ROW(n.votes)::record THEN '"votes": [' || coalesce(ledger.capture_json(o.votes), 'null') || ', ' || coalesce(ledger.capture_json(n.votes), 'null') || ']' END) || '}', '{}')
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    GET DIAGNOSTICS staged = ROW_COUNT;
    IF staged <> (SELECT count(*) FROM new_rows) THEN
        -- The other rows are unchanged, or recorded already, or wrong.
        SELECT n.id AS key, n.version INTO wrong
        FROM new_rows AS n
        WHERE NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version + 1 = n.version)
          AND NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version = n.version
                  AND NOT ROW(o.id, o.dedupe_key, o.source, o.status, o.template, o.reason, o.policy_snapshot, o.approved_at, o.created_at, o.votes)::record *<> ROW(n.id, n.dedupe_key, n.source, n.status, n.template, n.reason, n.policy_snapshot, n.approved_at, n.created_at, n.votes)::record)
          AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own))
        LIMIT 1;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM old_rows AS o WHERE o.id = wrong.key) THEN
                PERFORM ledger.capture_refuse_key_change('ops_mission_proposals', 'another key', wrong.key::text);
            END IF;
            PERFORM ledger.capture_refuse_version('ops_mission_proposals', wrong.key::text, wrong.version);
        END IF;
    END IF;
    IF staged > 0 THEN
        PERFORM ledger.capture_refuse_key('proposal', n.id, n.dedupe_key)
        FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
        WHERE n.dedupe_key IS DISTINCT FROM o.dedupe_key AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own));
        PERFORM ledger.capture_check('ops_mission_proposals', since, false);
    END IF;
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_ops_mission_steps()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
    staged bigint;
    wrong pg_catalog.record;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_mission_steps'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_steps only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    -- A row that the statement changed twice is there twice, so rows are joined by their versions too.
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'step.amended',
        '{"changes": {' || concat_ws(', ',
            CASE WHEN o.id IS DISTINCT FROM n.id THEN '"id": [' || coalesce('"' || o.id || '"', 'null') || ', ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_mission_steps.id', NULL)) || ']' END,
            CASE WHEN o.mission_id IS DISTINCT FROM n.mission_id THEN '"mission_id": [' || coalesce('"' || o.mission_id || '"', 'null') || ', ' || coalesce('"' || n.mission_id || '"', ledger.capture_refuse_value('ops_mission_steps.mission_id', NULL)) || ']' END,
            CASE WHEN o.kind IS DISTINCT FROM n.kind THEN '"kind": [' || coalesce(to_json(o.kind::text)::text, 'null') || ', ' || coalesce(to_json(n.kind::text)::text, ledger.capture_refuse_value('ops_mission_steps.kind', NULL)) || ']' END,
            CASE WHEN o.status IS DISTINCT FROM n.status THEN '"status": [' || coalesce(CASE WHEN o.status IS NULL OR o.status::text = ANY ('{queued,running,succeeded,failed}') THEN to_json(o.status::text)::text ELSE ledger.capture_refuse_value('ops_mission_steps.status', o.status::text) END, 'null') || ', ' || coalesce(CASE WHEN n.status IS NULL OR n.status::text = ANY ('{queued,running,succeeded,failed}') THEN to_json(n.status::text)::text ELSE ledger.capture_refuse_value('ops_mission_steps.status', n.status::text) END, ledger.capture_refuse_value('ops_mission_steps.status', NULL)) || ']' END,
            CASE WHEN o.executor IS DISTINCT FROM n.executor THEN '"executor": [' || coalesce(to_json(o.executor::text)::text, 'null') || ', ' || coalesce(to_json(n.executor::text)::text, 'null') || ']' END,
            CASE WHEN o.reserved_at IS DISTINCT FROM n.reserved_at THEN '"reserved_at": [' || coalesce(ledger.capture_time(o.reserved_at), 'null') || ', ' || coalesce(ledger.capture_time(n.reserved_at), 'null') || ']' END,
            CASE WHEN o.lease_expires_at IS DISTINCT FROM n.lease_expires_at THEN '"lease_expires_at": [' || coalesce(ledger.capture_time(o.lease_expires_at), 'null') || ', ' || coalesce(ledger.capture_time(n.lease_expires_at), 'null') || ']' END,
            CASE WHEN o.failure_count IS DISTINCT FROM n.failure_count THEN '"failure_count": [' || coalesce(o.failure_count::text, 'null') || ', ' || coalesce(n.failure_count::text, ledger.capture_refuse_value('ops_mission_steps.failure_count', NULL)) || ']' END,
            CASE WHEN o.max_retries IS DISTINCT FROM n.max_retries THEN '"max_retries": [' || coalesce(o.max_retries::text, 'null') || ', ' || coalesce(n.max_retries::text, 'null') || ']' END,
            CASE WHEN o.created_at IS DISTINCT FROM n.created_at THEN '"created_at": [' || coalesce(ledger.capture_time(o.created_at), 'null') || ', ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_mission_steps.created_at', NULL)) || ']' END,
            CASE WHEN o.updated_at IS DISTINCT FROM n.updated_at THEN '"updated_at": [' || coalesce(ledger.capture_time(o.updated_at), 'null') || ', ' || coalesce(ledger.capture_time(n.updated_at), ledger.capture_refuse_value('ops_mission_steps.updated_at', NULL)) || ']' END,
            CASE WHEN o.ordinal IS DISTINCT FROM n.ordinal THEN '"ordinal": [' || coalesce(o.ordinal::text, 'null') || ', ' || coalesce(n.ordinal::text, 'null') || ']' END,
            CASE WHEN ROW(o.needs)::record *<> ROW(n.needs)::record THEN '"needs": [' || coalesce(ledger.capture_integers(o.needs), 'null') || ', ' || coalesce(ledger.capture_integers(n.needs), 'null') || ']' END,
            CASE WHEN o.not_before IS DISTINCT FROM n.not_before THEN '"not_before": [' || coalesce(ledger.capture_time(o.not_before), 'null') || ', ' || coalesce(ledger.capture_time(n.not_before), 'null') || ']' END,
            CASE WHEN o.leased_by IS DISTINCT FROM n.leased_by THEN '"leased_by": [' || coalesce(to_json(o.leased_by::text)::text, 'null') || ', ' || coalesce(to_json(n.leased_by::text)::text, 'null') || ']' END) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', 
            CASE WHEN ROW(o.params)::record *<> ROW(n.params)::record THEN '"params": [' || coalesce(ledger.capture_json(o.params), 'null') || ', ' || coalesce(ledger.capture_json(n.params), ledger.capture_refuse_value('ops_mission_steps.params', NULL)) || ']' END,
            CASE WHEN o.last_error IS DISTINCT FROM n.last_error THEN '"last_error": [' || coalesce(to_json(o.last_error::text)::text, 'null') || ', ' || coalesce(to_json(n.last_error::text)::text, 'null') || ']' END,
            CASE WHEN ROW(o.result)::record *<> ROW(n.result)::record THEN '"result": [' || coalesce(ledger.capture_json(o.result), 'null') || ', ' || coalesce(ledger.capture_json(n.result), 'null') || ']' END) || '}', '{}')
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    GET DIAGNOSTICS staged = ROW_COUNT;
    IF staged <> (SELECT count(*) FROM new_rows) THEN
        -- The other rows are unchanged, or recorded already, or wrong.
        SELECT n.id AS key, n.version INTO wrong
        FROM new_rows AS n
        WHERE NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version + 1 = n.version)
          AND NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version = n.version
                  AND NOT ROW(o.id, o.mission_id, o.kind, o.params, o.status, o.executor, o.reserved_at, o.lease_expires_at, o.failure_count, o.max_retries, o.last_error, o.result, o.created_at, o.updated_at, o.ordinal, o.needs, o.not_before, o.leased_by)::record *<> ROW(n.id, n.mission_id, n.kind, n.params, n.status, n.executor, n.reserved_at, n.lease_expires_at, n.failure_count, n.max_retries, n.last_error, n.result, n.created_at, n.updated_at, n.ordinal, n.needs, n.not_before, n.leased_by)::record)
          AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own))
        LIMIT 1;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM old_rows AS o WHERE o.id = wrong.key) THEN
                PERFORM ledger.capture_refuse_key_change('ops_mission_steps', 'another key', wrong.key::text);
            END IF;
            PERFORM ledger.capture_refuse_version('ops_mission_steps', wrong.key::text, wrong.version);
        END IF;
    END IF;
    IF staged > 0 THEN
        PERFORM ledger.capture_check('ops_mission_steps', since, false);
    END IF;
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_ops_missions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
    staged bigint;
    wrong pg_catalog.record;
BEGIN
    IF allocated IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT n.id AS stream, n.version FROM new_rows AS n LIMIT 1) AS n,
                ledger.events AS e
            -- A range lets the planner use the index of streams. With `=` it would use the index of entries, and read
            -- the whole entry.
            WHERE e.entry OPERATOR(pg_catalog.>=) allocated AND e.entry OPERATOR(pg_catalog.<=) allocated
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_missions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_missions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    -- A row that the statement changed twice is there twice, so rows are joined by their versions too.
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', n.id, n.version, 'mission.amended',
        '{"changes": {' || concat_ws(', ',
            CASE WHEN o.id IS DISTINCT FROM n.id THEN '"id": [' || coalesce('"' || o.id || '"', 'null') || ', ' || coalesce('"' || n.id || '"', ledger.capture_refuse_value('ops_missions.id', NULL)) || ']' END,
            CASE WHEN o.proposal_id IS DISTINCT FROM n.proposal_id THEN '"proposal_id": [' || coalesce('"' || o.proposal_id || '"', 'null') || ', ' || coalesce('"' || n.proposal_id || '"', 'null') || ']' END,
            CASE WHEN o.status IS DISTINCT FROM n.status THEN '"status": [' || coalesce(CASE WHEN o.status IS NULL OR o.status::text = ANY ('{approved,running,succeeded,failed}') THEN to_json(o.status::text)::text ELSE ledger.capture_refuse_value('ops_missions.status', o.status::text) END, 'null') || ', ' || coalesce(CASE WHEN n.status IS NULL OR n.status::text = ANY ('{approved,running,succeeded,failed}') THEN to_json(n.status::text)::text ELSE ledger.capture_refuse_value('ops_missions.status', n.status::text) END, ledger.capture_refuse_value('ops_missions.status', NULL)) || ']' END,
            CASE WHEN ROW(o.policy_snapshot)::record *<> ROW(n.policy_snapshot)::record THEN '"policy_snapshot": [' || coalesce(ledger.capture_json(o.policy_snapshot), 'null') || ', ' || coalesce(ledger.capture_json(n.policy_snapshot), 'null') || ']' END,
            CASE WHEN o.started_at IS DISTINCT FROM n.started_at THEN '"started_at": [' || coalesce(ledger.capture_time(o.started_at), 'null') || ', ' || coalesce(ledger.capture_time(n.started_at), 'null') || ']' END,
            CASE WHEN o.completed_at IS DISTINCT FROM n.completed_at THEN '"completed_at": [' || coalesce(ledger.capture_time(o.completed_at), 'null') || ', ' || coalesce(ledger.capture_time(n.completed_at), 'null') || ']' END,
            CASE WHEN o.created_at IS DISTINCT FROM n.created_at THEN '"created_at": [' || coalesce(ledger.capture_time(o.created_at), 'null') || ', ' || coalesce(ledger.capture_time(n.created_at), ledger.capture_refuse_value('ops_missions.created_at', NULL)) || ']' END,
            CASE WHEN o.updated_at IS DISTINCT FROM n.updated_at THEN '"updated_at": [' || coalesce(ledger.capture_time(o.updated_at), 'null') || ', ' || coalesce(ledger.capture_time(n.updated_at), ledger.capture_refuse_value('ops_missions.updated_at', NULL)) || ']' END) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', NULL) || '}', '{}')
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
    WHERE allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    GET DIAGNOSTICS staged = ROW_COUNT;
    IF staged <> (SELECT count(*) FROM new_rows) THEN
        -- The other rows are unchanged, or recorded already, or wrong.
        SELECT n.id AS key, n.version INTO wrong
        FROM new_rows AS n
        WHERE NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version + 1 = n.version)
          AND NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.id = n.id AND o.version = n.version
                  AND NOT ROW(o.id, o.proposal_id, o.status, o.policy_snapshot, o.started_at, o.completed_at, o.created_at, o.updated_at)::record *<> ROW(n.id, n.proposal_id, n.status, n.policy_snapshot, n.started_at, n.completed_at, n.created_at, n.updated_at)::record)
          AND (allocated IS NULL OR NOT (n.id, n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own))
        LIMIT 1;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM old_rows AS o WHERE o.id = wrong.key) THEN
                PERFORM ledger.capture_refuse_key_change('ops_missions', 'another key', wrong.key::text);
            END IF;
            PERFORM ledger.capture_refuse_version('ops_missions', wrong.key::text, wrong.version);
        END IF;
    END IF;
    IF staged > 0 THEN
        PERFORM ledger.capture_check('ops_missions', since, false);
    END IF;
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_ops_policy()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
AS $function$
DECLARE
    allocated CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    manual_change pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;
    staged bigint;
    wrong pg_catalog.record;
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE allocated IS NULL OR NOT (ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) n.key), n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF TG_RELID <> 'public.ops_policy'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_policy only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    pinned := ledger.capture_set_planner();
    since := ledger.capture_begin();
    manual_change := ledger.capture_manual_change();
    -- A row that the statement changed twice is there twice, so rows are joined by their versions too.
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) n.key), n.version, 'policy.amended',
        '{"changes": {' || concat_ws(', ',
            CASE WHEN o.key IS DISTINCT FROM n.key THEN '"key": [' || coalesce(to_json(o.key::text)::text, 'null') || ', ' || coalesce(to_json(n.key::text)::text, ledger.capture_refuse_value('ops_policy.key', NULL)) || ']' END,
            CASE WHEN ROW(o.value)::record *<> ROW(n.value)::record THEN '"value": [' || coalesce(ledger.capture_json(o.value), 'null') || ', ' || coalesce(ledger.capture_json(n.value), ledger.capture_refuse_value('ops_policy.value', NULL)) || ']' END,
            CASE WHEN o.updated_at IS DISTINCT FROM n.updated_at THEN '"updated_at": [' || coalesce(ledger.capture_time(o.updated_at), 'null') || ', ' || coalesce(ledger.capture_time(n.updated_at), ledger.capture_refuse_value('ops_policy.updated_at', NULL)) || ']' END) || '}, ' || manual_change || '}',
        nullif('{' || concat_ws(', ', NULL) || '}', '{}')
    FROM new_rows AS n JOIN old_rows AS o ON o.key = n.key AND o.version + 1 = n.version
    WHERE allocated IS NULL OR NOT (ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) n.key), n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own);
    GET DIAGNOSTICS staged = ROW_COUNT;
    IF staged <> (SELECT count(*) FROM new_rows) THEN
        -- The other rows are unchanged, or recorded already, or wrong.
        SELECT n.key AS key, n.version INTO wrong
        FROM new_rows AS n
        WHERE NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.key = n.key AND o.version + 1 = n.version)
          AND NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.key = n.key AND o.version = n.version
                  AND NOT ROW(o.key, o.value, o.updated_at)::record *<> ROW(n.key, n.value, n.updated_at)::record)
          AND (allocated IS NULL OR NOT (ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) n.key), n.version) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) allocated AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own))
        LIMIT 1;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM old_rows AS o WHERE o.key = wrong.key) THEN
                PERFORM ledger.capture_refuse_key_change('ops_policy', 'another key', wrong.key::text);
            END IF;
            PERFORM ledger.capture_refuse_version('ops_policy', wrong.key::text, wrong.version);
        END IF;
    END IF;
    IF staged > 0 THEN
        PERFORM ledger.capture_check('ops_policy', since, false);
    END IF;
    PERFORM ledger.capture_reset_planner(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_row_ops_action_runs()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_action_runs'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_action_runs only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.id <> OLD.id THEN
        PERFORM ledger.capture_refuse_key_change('ops_action_runs', OLD.id::text, NEW.id::text);
    ELSIF NEW.version < OLD.version THEN
        PERFORM ledger.capture_refuse_version('ops_action_runs', OLD.id::text, NEW.version);
    ELSIF NEW.version = OLD.version THEN
        IF NOT ROW(OLD.id, OLD.run_id, OLD.step_id, OLD.executor, OLD.status, OLD.started_at, OLD.completed_at, OLD.meta, OLD.error)::record *<> ROW(NEW.id, NEW.run_id, NEW.step_id, NEW.executor, NEW.status, NEW.started_at, NEW.completed_at, NEW.meta, NEW.error)::record THEN
            RETURN NEW;
        END IF;
        NEW.version := ledger.capture_next_version('ops_action_runs', OLD.id::text, OLD.version);
    ELSIF ledger.capture_is_own(NEW.id, NEW.version) THEN
        RETURN NEW;
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_row_ops_agent_events()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_agent_events'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_events only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.id <> OLD.id THEN
        PERFORM ledger.capture_refuse_key_change('ops_agent_events', OLD.id::text, NEW.id::text);
    ELSIF NEW.version < OLD.version THEN
        PERFORM ledger.capture_refuse_version('ops_agent_events', OLD.id::text, NEW.version);
    ELSIF NEW.version = OLD.version THEN
        IF NOT ROW(OLD.id, OLD.dedupe_key, OLD.type, OLD.data, OLD.mission_id, OLD.processed_at, OLD.created_at, OLD.thought)::record *<> ROW(NEW.id, NEW.dedupe_key, NEW.type, NEW.data, NEW.mission_id, NEW.processed_at, NEW.created_at, NEW.thought)::record THEN
            RETURN NEW;
        END IF;
        NEW.version := ledger.capture_next_version('ops_agent_events', OLD.id::text, OLD.version);
    ELSIF ledger.capture_is_own(NEW.id, NEW.version) THEN
        RETURN NEW;
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_row_ops_agent_reactions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_agent_reactions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_agent_reactions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.id <> OLD.id THEN
        PERFORM ledger.capture_refuse_key_change('ops_agent_reactions', OLD.id::text, NEW.id::text);
    ELSIF NEW.version < OLD.version THEN
        PERFORM ledger.capture_refuse_version('ops_agent_reactions', OLD.id::text, NEW.version);
    ELSIF NEW.version = OLD.version THEN
        IF NOT ROW(OLD.id, OLD.event_id, OLD.status, OLD.payload, OLD.created_at, OLD.updated_at)::record *<> ROW(NEW.id, NEW.event_id, NEW.status, NEW.payload, NEW.created_at, NEW.updated_at)::record THEN
            RETURN NEW;
        END IF;
        NEW.version := ledger.capture_next_version('ops_agent_reactions', OLD.id::text, OLD.version);
    ELSIF ledger.capture_is_own(NEW.id, NEW.version) THEN
        RETURN NEW;
    END IF;
    IF NEW.updated_at = OLD.updated_at THEN
        NEW.updated_at := greatest(OLD.updated_at, ledger.now());
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_row_ops_demand_radar()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_demand_radar'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_demand_radar only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.id <> OLD.id THEN
        PERFORM ledger.capture_refuse_key_change('ops_demand_radar', OLD.id::text, NEW.id::text);
    ELSIF NEW.version < OLD.version THEN
        PERFORM ledger.capture_refuse_version('ops_demand_radar', OLD.id::text, NEW.version);
    ELSIF NEW.version = OLD.version THEN
        IF NOT ROW(OLD.id, OLD.title, OLD.description, OLD.stage, OLD.notes, OLD.created_at, OLD.updated_at)::record *<> ROW(NEW.id, NEW.title, NEW.description, NEW.stage, NEW.notes, NEW.created_at, NEW.updated_at)::record THEN
            RETURN NEW;
        END IF;
        NEW.version := ledger.capture_next_version('ops_demand_radar', OLD.id::text, OLD.version);
    ELSIF ledger.capture_is_own(NEW.id, NEW.version) THEN
        RETURN NEW;
    END IF;
    IF NEW.updated_at = OLD.updated_at THEN
        NEW.updated_at := greatest(OLD.updated_at, ledger.now());
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_row_ops_mission_proposals()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_mission_proposals'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_proposals only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.id <> OLD.id THEN
        PERFORM ledger.capture_refuse_key_change('ops_mission_proposals', OLD.id::text, NEW.id::text);
    ELSIF NEW.version < OLD.version THEN
        PERFORM ledger.capture_refuse_version('ops_mission_proposals', OLD.id::text, NEW.version);
    ELSIF NEW.version = OLD.version THEN
        IF NOT ROW(OLD.id, OLD.dedupe_key, OLD.source, OLD.status, OLD.template, OLD.reason, OLD.policy_snapshot, OLD.approved_at, OLD.created_at, OLD.votes)::record *<> ROW(NEW.id, NEW.dedupe_key, NEW.source, NEW.status, NEW.template, NEW.reason, NEW.policy_snapshot, NEW.approved_at, NEW.created_at, NEW.votes)::record THEN
            RETURN NEW;
        END IF;
        NEW.version := ledger.capture_next_version('ops_mission_proposals', OLD.id::text, OLD.version);
    ELSIF ledger.capture_is_own(NEW.id, NEW.version) THEN
        RETURN NEW;
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_row_ops_mission_steps()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_mission_steps'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_mission_steps only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.id <> OLD.id THEN
        PERFORM ledger.capture_refuse_key_change('ops_mission_steps', OLD.id::text, NEW.id::text);
    ELSIF NEW.version < OLD.version THEN
        PERFORM ledger.capture_refuse_version('ops_mission_steps', OLD.id::text, NEW.version);
    ELSIF NEW.version = OLD.version THEN
        IF NOT ROW(OLD.id, OLD.mission_id, OLD.kind, OLD.params, OLD.status, OLD.executor, OLD.reserved_at, OLD.lease_expires_at, OLD.failure_count, OLD.max_retries, OLD.last_error, OLD.result, OLD.created_at, OLD.updated_at, OLD.ordinal, OLD.needs, OLD.not_before, OLD.leased_by)::record *<> ROW(NEW.id, NEW.mission_id, NEW.kind, NEW.params, NEW.status, NEW.executor, NEW.reserved_at, NEW.lease_expires_at, NEW.failure_count, NEW.max_retries, NEW.last_error, NEW.result, NEW.created_at, NEW.updated_at, NEW.ordinal, NEW.needs, NEW.not_before, NEW.leased_by)::record THEN
            RETURN NEW;
        END IF;
        NEW.version := ledger.capture_next_version('ops_mission_steps', OLD.id::text, OLD.version);
    ELSIF ledger.capture_is_own(NEW.id, NEW.version) THEN
        RETURN NEW;
    END IF;
    IF NEW.updated_at = OLD.updated_at THEN
        NEW.updated_at := greatest(OLD.updated_at, ledger.now());
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_row_ops_missions()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_missions'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_missions only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.id <> OLD.id THEN
        PERFORM ledger.capture_refuse_key_change('ops_missions', OLD.id::text, NEW.id::text);
    ELSIF NEW.version < OLD.version THEN
        PERFORM ledger.capture_refuse_version('ops_missions', OLD.id::text, NEW.version);
    ELSIF NEW.version = OLD.version THEN
        IF NOT ROW(OLD.id, OLD.proposal_id, OLD.status, OLD.policy_snapshot, OLD.started_at, OLD.completed_at, OLD.created_at, OLD.updated_at)::record *<> ROW(NEW.id, NEW.proposal_id, NEW.status, NEW.policy_snapshot, NEW.started_at, NEW.completed_at, NEW.created_at, NEW.updated_at)::record THEN
            RETURN NEW;
        END IF;
        NEW.version := ledger.capture_next_version('ops_missions', OLD.id::text, OLD.version);
    ELSIF ledger.capture_is_own(NEW.id, NEW.version) THEN
        RETURN NEW;
    END IF;
    IF NEW.updated_at = OLD.updated_at THEN
        NEW.updated_at := greatest(OLD.updated_at, ledger.now());
    END IF;
    RETURN NEW;
END $function$

CREATE OR REPLACE FUNCTION ledger.capture_update_row_ops_policy()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF TG_RELID <> 'public.ops_policy'::regclass THEN
        RAISE EXCEPTION '% is a trigger of public.ops_policy only', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.key <> OLD.key THEN
        PERFORM ledger.capture_refuse_key_change('ops_policy', OLD.key::text, NEW.key::text);
    ELSIF NEW.version < OLD.version THEN
        PERFORM ledger.capture_refuse_version('ops_policy', OLD.key::text, NEW.version);
    ELSIF NEW.version = OLD.version THEN
        IF NOT ROW(OLD.key, OLD.value, OLD.updated_at)::record *<> ROW(NEW.key, NEW.value, NEW.updated_at)::record THEN
            RETURN NEW;
        END IF;
        NEW.version := ledger.capture_next_version('ops_policy', OLD.key::text, OLD.version);
    ELSIF ledger.capture_is_own(ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' OPERATOR(pg_catalog.||) NEW.key), NEW.version) THEN
        RETURN NEW;
    END IF;
    IF NEW.updated_at = OLD.updated_at THEN
        NEW.updated_at := greatest(OLD.updated_at, ledger.now());
    END IF;
    RETURN NEW;
END $function$
