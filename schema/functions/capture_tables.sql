-- ledger.capture_…_<table>: what records a hand's changes of each of the eight. Made here for all of them
-- from ledger.captured_columns.
--
-- The version tells who wrote. A write that raises a row to a version whose event the same transaction
-- has appended with a command's id is on the record already; any other that changes a ledger column is
-- a hand's. BEFORE, row by row (…_insert_row_, …_update_row_): gives it its version. AFTER, once a
-- statement (…_insert_, …_update_, …_delete_, …_truncate_): stages an event for each.
--
-- Rows are compared as images (*<>): 1.0 and 1.00 are equal as jsonb, and not the same row.
-- An engine's write costs one look into its own entry (opsledger.entry, set by draw), for the first row of the
-- statement; only what is not there is looked at further. For that, names and plans are pinned: a plan made on
-- an empty log would read all of it later, and OLD and NEW pair by hash or in quadratic time.
--
-- Sets     opsledger.numbered, to the end of the transaction, where a row was given its version here: from then on
--          each row is looked at.
--
-- Used by  the triggers of guards/capture.sql, as ledger's owner, whom no row-level policy hides rows from.
--          On no other table: whoever attached them elsewhere would write into foreign streams.
DO $generate$
DECLARE
    made record;
    pins CONSTANT text := 'LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET enable_seqscan = off
SET enable_bitmapscan = off SET jit = off SET plan_cache_mode = force_generic_plan';
    -- Each setting of a function is set and reset on each call, an engine's too: those of planning are
    -- set by capture_pin, and search_path below, where a hand's rows are staged. What comes before runs
    -- under the caller's search_path, so each name and operator in it has its schema.
    light CONSTANT text := 'LANGUAGE plpgsql VOLATILE SECURITY DEFINER';
    declares CONSTANT text := $sql$
    drawn CONSTANT bigint := CASE
        WHEN pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('opsledger.entry', true)::bigint END;
    own CONSTANT pg_catalog.xid := pg_catalog.xid(pg_catalog.pg_current_xact_id());
    since bigint;
    hand pg_catalog.text;
    pinned pg_catalog.text[];
    path pg_catalog.text;$sql$;
    -- Whether a row's event is not among those that this transaction has appended by a command. The subquery is
    -- asked once and hashed: a probe into the log for each row cost twice as much.
    missing CONSTANT text := 'NOT (%s, %s) OPERATOR(pg_catalog.=) ANY (
            SELECT e.stream, e.version FROM ledger.events AS e
            WHERE e.entry OPERATOR(pg_catalog.=) drawn AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own)';
    -- An engine's writes end here, but of policies, whose versions begin at 1 by themselves. Its statement's first row tells: nobody else can have appended that event, and the
    -- statement is the client's own. What a cascade or somebody's trigger changes is within another trigger, or was
    -- numbered row by row.
    first_tells CONSTANT text := $sql$
    IF drawn IS NOT NULL AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1
        AND (pg_catalog.current_setting('opsledger.numbered', true) OPERATOR(pg_catalog.=) 'yes') IS NOT TRUE
        AND EXISTS (SELECT FROM (SELECT %1$s AS stream, n.version FROM new_rows AS n LIMIT 1) AS n, ledger.events AS e
            -- A range, which is found by the stream's index; `=` would be by the entry's, and read all of it.
            WHERE e.entry OPERATOR(pg_catalog.>=) drawn AND e.entry OPERATOR(pg_catalog.<=) drawn
              AND e.stream OPERATOR(pg_catalog.=) n.stream AND e.version OPERATOR(pg_catalog.=) n.version
              AND e.command IS NOT NULL
              AND e.xmin OPERATOR(pg_catalog.=) own) THEN
        RETURN NULL;
    END IF;$sql$;
    -- What is left is looked at row by row: all on the record, or a statement that touched no row.
    passes CONSTANT text := $sql$
    IF NOT EXISTS (SELECT FROM new_rows AS n WHERE drawn IS NULL OR %s) THEN
        RETURN NULL;
    END IF;
    path := pg_catalog.current_setting('search_path');
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);$sql$;
    leaves CONSTANT text := $sql$
    PERFORM ledger.capture_unpin(pinned);
    PERFORM set_config('search_path', path, true);
    RETURN NULL;$sql$;
    head CONSTANT text := $sql$
    IF TG_RELID <> 'public.%1$s'::regclass THEN
        RAISE EXCEPTION '%% is for public.%1$s', TG_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;$sql$;
BEGIN
    FOR made IN
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
                -- What a NULL is written as; a column that is NOT NULL by what was laid has none.
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
                -- Columns and types of which the log knows these values alone; the tables' CHECKs and the types
                -- say the same.
                ('ops_mission_proposals.source', '{api,trigger,reaction,manual}'),
                ('ops_agent_reactions.status', '{queued,processing,done,failed}'),
                ('ops_demand_radar.stage', '{watching,validating,building,shipped}'),
                ('ops_proposal_status', '{pending,approved,rejected,auto_approved,voting}'),
                ('ops_mission_status', '{approved,running,succeeded,failed}'),
                ('ops_step_status', '{queued,running,succeeded,failed}'),
                ('ops_action_run_status', '{started,succeeded,failed}')
            ) AS l (name, labels) ON l.name IN (c.type, c.relation || '.' || c.name)
        ), e AS (
            SELECT c.*, format(CASE WHEN c.type IN ('jsonb', 'integer[]')
                    THEN 'ROW(o.%1$s)::record *<> ROW(n.%1$s)::record'
                    ELSE 'o.%1$s IS DISTINCT FROM n.%1$s' END, c.name) AS differs,
                coalesce(c.erased, c.whole) AS structure
            FROM c
        )
        SELECT e.relation, min(e.noun) AS noun,
            (array_agg(e.name ORDER BY e.at))[1] AS key,
            bool_or(e.name = 'updated_at') AS has_updated_at,
            bool_or(e.name = 'dedupe_key') AS has_dedupe_key,
            CASE min(e.noun)
                WHEN 'policy' THEN 'ledger.uuid_v5(''92b812ff-fcda-5ec4-a524-d529e92a7a52'','
                    ' ''policy:'' OPERATOR(pg_catalog.||) @.key)'
                ELSE '@.id' END AS stream,
            string_agg('@.' || e.name, ', ' ORDER BY e.at) FILTER (WHERE e.name <> 'version')
                AS image,
            string_agg(format(E'\n            ''"%s": '' || coalesce(%s, %s)', e.name,
                replace(e.structure, '@', 'n'), coalesce(e.refused, '''null''')), ',' ORDER BY e.at)
                FILTER (WHERE e.part <> 'content' AND e.name <> 'version') AS columns,
            coalesce(string_agg(format(E'\n            ''"%s": '' || %s', e.name,
                coalesce('coalesce(' || replace(e.whole, '@', 'n') || ', ' || e.refused || ')', replace(e.whole, '@', 'n'))),
                ',' ORDER BY e.at)
                FILTER (WHERE e.part <> 'data'), 'NULL') AS contents,
            string_agg(format(E'\n            CASE WHEN %s THEN ''"%s": ['' || coalesce(%s, ''null'')'
                ' || '', '' || coalesce(%s, %s) || '']'' END', e.differs, e.name,
                replace(e.structure, '@', 'o'), replace(e.structure, '@', 'n'), coalesce(e.refused, '''null''')), ','
                ORDER BY e.at)
                FILTER (WHERE e.part <> 'content' AND e.name <> 'version') AS changes,
            coalesce(string_agg(format(E'\n            CASE WHEN %s THEN ''"%s": ['' || '
                'coalesce(%s, ''null'') || '', '' || coalesce(%s, %s) || '']'' END',
                e.differs, e.name, replace(e.whole, '@', 'o'), replace(e.whole, '@', 'n'),
                coalesce(e.refused, '''null''')), ',' ORDER BY e.at) FILTER (WHERE e.part <> 'data'), 'NULL') AS content_changes
        FROM e GROUP BY e.relation
    LOOP
        EXECUTE format($sql$
CREATE OR REPLACE FUNCTION ledger.capture_insert_row_%1$s() RETURNS trigger %2$s AS $body$
BEGIN%3$s
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.version = 0 OR NOT ledger.capture_is_own(%4$s, NEW.version) THEN
        NEW.version := ledger.capture_next_version('%1$s', NEW.%5$s::text, greatest(
            (SELECT t.version FROM ledger.tombstones AS t WHERE t.stream = %4$s),
            (SELECT r.version FROM public.%1$s AS r WHERE r.%5$s = NEW.%5$s), 0));
    END IF;
    RETURN NEW;
END $body$;$sql$,
            made.relation, pins, format(head, made.relation), replace(made.stream, '@', 'NEW'), made.key);

        EXECUTE format($sql$
CREATE OR REPLACE FUNCTION ledger.capture_update_row_%1$s() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN%2$s
    PERFORM set_config('opsledger.numbered', 'yes', true);
    IF NEW.%3$s <> OLD.%3$s THEN
        PERFORM ledger.capture_refuse_key_change('%1$s', OLD.%3$s::text, NEW.%3$s::text);
    ELSIF NEW.version < OLD.version THEN
        PERFORM ledger.capture_refuse_version('%1$s', OLD.%3$s::text, NEW.version);
    ELSIF NEW.version = OLD.version THEN
        IF NOT ROW(%4$s)::record *<> ROW(%5$s)::record THEN
            RETURN NEW;
        END IF;
        NEW.version := ledger.capture_next_version('%1$s', OLD.%3$s::text, OLD.version);
    ELSIF ledger.capture_is_own(%6$s, NEW.version) THEN
        RETURN NEW;
    END IF;%7$s
    RETURN NEW;
END $body$;$sql$,
            made.relation, format(head, made.relation), made.key, replace(made.image, '@', 'OLD'),
            replace(made.image, '@', 'NEW'), replace(made.stream, '@', 'NEW'),
            CASE WHEN made.has_updated_at THEN $sql$
    IF NEW.updated_at = OLD.updated_at THEN
        NEW.updated_at := greatest(OLD.updated_at, ledger.now());
    END IF;$sql$ ELSE '' END);

        EXECUTE format($sql$
CREATE OR REPLACE FUNCTION ledger.capture_insert_%1$s() RETURNS trigger %2$s AS $body$
DECLARE%9$s
BEGIN%10$s%3$s
    pinned := ledger.capture_pin();
    since := ledger.capture_begin();
    hand := ledger.capture_hand();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', %4$s, n.version, '%5$s.inserted',
        '{"columns": {' || concat_ws(', ',%6$s) || '}, ' || hand || '}',
        nullif('{' || concat_ws(', ', %7$s) || '}', '{}')
    FROM new_rows AS n
    WHERE drawn IS NULL OR %8$s;%12$s
    PERFORM ledger.capture_check('%1$s', since, true);%11$s
END $body$;$sql$,
            made.relation, light, format(head, made.relation), replace(made.stream, '@', 'n'),
            made.noun, made.columns, made.contents,
            format(missing, replace(made.stream, '@', 'n'), 'n.version'), declares,
            CASE WHEN made.noun <> 'policy' THEN format(first_tells, replace(made.stream, '@', 'n')) ELSE '' END
                || format(passes, format(missing, replace(made.stream, '@', 'n'), 'n.version')), leaves,
            CASE WHEN made.has_dedupe_key THEN format($sql$
    PERFORM ledger.capture_refuse_key('%s', n.id, n.dedupe_key) FROM new_rows AS n
    WHERE n.dedupe_key IS NOT NULL AND (drawn IS NULL OR %s);$sql$, made.noun,
                format(missing, replace(made.stream, '@', 'n'), 'n.version')) ELSE '' END);

        EXECUTE format($sql$
CREATE OR REPLACE FUNCTION ledger.capture_update_%1$s() RETURNS trigger %2$s AS $body$
DECLARE%12$s
    staged bigint;
    wrong pg_catalog.record;
BEGIN%13$s%3$s
    pinned := ledger.capture_pin();
    since := ledger.capture_begin();
    hand := ledger.capture_hand();
    -- A row that was touched twice is there twice, and pairs by its versions.
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data, content)
    SELECT pg_current_xact_id(), 'event', %4$s, n.version, '%5$s.amended',
        '{"changes": {' || concat_ws(', ',%6$s) || '}, ' || hand || '}',
        nullif('{' || concat_ws(', ', %7$s) || '}', '{}')
    FROM new_rows AS n JOIN old_rows AS o ON o.%9$s = n.%9$s AND o.version + 1 = n.version
    WHERE drawn IS NULL OR %8$s;
    GET DIAGNOSTICS staged = ROW_COUNT;
    IF staged <> (SELECT count(*) FROM new_rows) THEN
        -- The others are as they were, or on the record, or wrong.
        SELECT n.%9$s AS key, n.version INTO wrong
        FROM new_rows AS n
        WHERE NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.%9$s = n.%9$s AND o.version + 1 = n.version)
          AND NOT EXISTS (SELECT FROM old_rows AS o
                WHERE o.%9$s = n.%9$s AND o.version = n.version
                  AND NOT ROW(%10$s)::record *<> ROW(%11$s)::record)
          AND (drawn IS NULL OR %8$s)
        LIMIT 1;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM old_rows AS o WHERE o.%9$s = wrong.key) THEN
                PERFORM ledger.capture_refuse_key_change('%1$s', 'another', wrong.key::text);
            END IF;
            PERFORM ledger.capture_refuse_version('%1$s', wrong.key::text, wrong.version);
        END IF;
    END IF;
    IF staged > 0 THEN%15$s
        PERFORM ledger.capture_check('%1$s', since, false);
    END IF;%14$s
END $body$;$sql$,
            made.relation, light, format(head, made.relation), replace(made.stream, '@', 'n'),
            made.noun, made.changes, made.content_changes,
            format(missing, replace(made.stream, '@', 'n'), 'n.version'), made.key,
            replace(made.image, '@', 'o'), replace(made.image, '@', 'n'), declares,
            CASE WHEN made.noun <> 'policy' THEN format(first_tells, replace(made.stream, '@', 'n')) ELSE '' END
                || format(passes, format(missing, replace(made.stream, '@', 'n'), 'n.version')), leaves,
            CASE WHEN made.has_dedupe_key THEN format($sql$
        PERFORM ledger.capture_refuse_key('%s', n.id, n.dedupe_key)
        FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.version + 1 = n.version
        WHERE n.dedupe_key IS DISTINCT FROM o.dedupe_key AND (drawn IS NULL OR %s);$sql$, made.noun,
                format(missing, replace(made.stream, '@', 'n'), 'n.version')) ELSE '' END);

        EXECUTE format($sql$
CREATE OR REPLACE FUNCTION ledger.capture_delete_%1$s() RETURNS trigger %2$s
SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    drawn CONSTANT bigint := nullif(current_setting('opsledger.entry', true), '')::bigint;
    own CONSTANT xid := pg_current_xact_id()::xid;
    since bigint;
    hand text;
    pinned text[];
BEGIN%3$s
    PERFORM ledger.capture_next_version('%1$s', o.%7$s::text, o.version) FROM old_rows AS o
    WHERE o.version >= 2000000000;
    -- Of an archived row the dedupe key stays taken.
    INSERT INTO ledger.tombstones AS t (stream, noun, version, dedupe_key)
    SELECT %4$s, '%5$s', o.version + 1, (
        SELECT e.data ->> 'dedupe_key' FROM ledger.events AS e
        WHERE e.entry >= drawn AND e.entry <= drawn AND e.stream = %4$s AND e.version = o.version + 1
          AND e.type = '%5$s.archived' AND e.command IS NOT NULL AND e.xmin = own)
    FROM old_rows AS o
    ON CONFLICT (stream) DO UPDATE SET version = greatest(t.version, EXCLUDED.version),
        noun = EXCLUDED.noun, dedupe_key = EXCLUDED.dedupe_key;
    IF drawn IS NOT NULL AND NOT EXISTS (SELECT FROM old_rows AS o WHERE %6$s) THEN
        RETURN NULL;
    ELSIF NOT EXISTS (SELECT FROM old_rows) THEN
        RETURN NULL;
    END IF;
    pinned := ledger.capture_pin();
    since := ledger.capture_begin();
    hand := ledger.capture_hand();
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', %4$s, o.version + 1, '%5$s.removed', '{' || hand || '}'
    FROM old_rows AS o
    WHERE drawn IS NULL OR %6$s;
    PERFORM ledger.capture_check('%1$s', since, false);
    PERFORM ledger.capture_unpin(pinned);
    RETURN NULL;
END $body$;$sql$,
            made.relation, light, format(head, made.relation), replace(made.stream, '@', 'o'),
            made.noun, format(missing, replace(made.stream, '@', 'o'), 'o.version + 1'), made.key);

        EXECUTE format($sql$
CREATE OR REPLACE FUNCTION ledger.capture_truncate_%1$s() RETURNS trigger %2$s AS $body$
DECLARE
    since bigint;
    hand text;
BEGIN%3$s
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'TRUNCATE of %1$s needs READ COMMITTED, this transaction is %%',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'active_sql_transaction',
                HINT = 'Its snapshot may hide rows that would go unrecorded.';
    END IF;
    IF NOT EXISTS (SELECT FROM public.%1$s) THEN
        RETURN NULL;
    END IF;
    since := ledger.capture_begin();
    hand := ledger.capture_hand();
    PERFORM ledger.capture_next_version('%1$s', o.%6$s::text, o.version) FROM public.%1$s AS o
    WHERE o.version >= 2000000000;
    INSERT INTO ledger.tombstones AS t (stream, noun, version)
    SELECT %4$s, '%5$s', o.version + 1 FROM public.%1$s AS o
    ON CONFLICT (stream) DO UPDATE
        SET version = greatest(t.version, EXCLUDED.version), noun = EXCLUDED.noun;
    INSERT INTO ledger.pending (tx, kind, stream, version, type, data)
    SELECT pg_current_xact_id(), 'event', %4$s, o.version + 1, '%5$s.removed', '{' || hand || '}'
    FROM public.%1$s AS o;
    PERFORM ledger.capture_check('%1$s', since, false);
    RETURN NULL;
END $body$;$sql$,
            made.relation, pins, format(head, made.relation), replace(made.stream, '@', 'o'),
            made.noun, made.key);

        EXECUTE format('ALTER FUNCTION ledger.capture_insert_row_%1$s() OWNER TO opsledger_owner;
            ALTER FUNCTION ledger.capture_update_row_%1$s() OWNER TO opsledger_owner;
            ALTER FUNCTION ledger.capture_insert_%1$s() OWNER TO opsledger_owner;
            ALTER FUNCTION ledger.capture_update_%1$s() OWNER TO opsledger_owner;
            ALTER FUNCTION ledger.capture_delete_%1$s() OWNER TO opsledger_owner;
            ALTER FUNCTION ledger.capture_truncate_%1$s() OWNER TO opsledger_owner', made.relation);
    END LOOP;
END $generate$;

-- While a hand's rows are staged: no row is hidden, rows pair by hash, and no plan was made for an empty log.
-- Returns what the settings were, for capture_unpin.
CREATE OR REPLACE FUNCTION ledger.capture_pin() RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before CONSTANT text[] := ARRAY[current_setting('row_security'), current_setting('jit'),
        current_setting('plan_cache_mode'), current_setting('enable_seqscan'),
        current_setting('enable_bitmapscan'), current_setting('enable_nestloop'),
        current_setting('enable_mergejoin')];
BEGIN
    PERFORM ledger.capture_unpin(
        ARRAY['off', 'off', 'force_generic_plan', 'off', 'off', 'off', 'off']);
    RETURN before;
END
$$;
CREATE OR REPLACE FUNCTION ledger.capture_unpin(settings text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('row_security', settings[1], true), set_config('jit', settings[2], true),
        set_config('plan_cache_mode', settings[3], true),
        set_config('enable_seqscan', settings[4], true),
        set_config('enable_bitmapscan', settings[5], true),
        set_config('enable_nestloop', settings[6], true),
        set_config('enable_mergejoin', settings[7], true);
END
$$;
ALTER FUNCTION ledger.capture_pin() OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_unpin(text[]) OWNER TO opsledger_owner;

-- Whether this transaction has appended the event itself, by a command. Entries of its own are above the
-- last seal, which keeps the look-up out of old partitions.
CREATE OR REPLACE FUNCTION ledger.capture_is_own(stream uuid, version integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET enable_bitmapscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    sealed CONSTANT bigint := ledger.sealed();
BEGIN
    RETURN EXISTS (
        SELECT FROM ledger.events AS e
        WHERE e.entry > sealed AND e.stream = capture_is_own.stream
          AND e.version = capture_is_own.version
          AND e.command IS NOT NULL AND e.xmin = pg_current_xact_id()::xid);
END
$$;
ALTER FUNCTION ledger.capture_is_own(uuid, integer) OWNER TO opsledger_owner;
