-- ledger.template_steps: checks a template, and gives the steps of its mission, one row each, in the template's order.
-- The rules are those of docs/templates.md, in the order in which the engine checks them.
--
-- Raises   OPS_004 with the path of the invalid part, OPS_005 for an unknown executor.
-- Used by  ops_create_proposal_and_maybe_autoapprove, ops_create_mission_from_proposal, objection.
CREATE OR REPLACE FUNCTION ledger.template_steps(template jsonb)
RETURNS TABLE (ordinal integer, kind text, executor text, params jsonb, max_retries integer,
    needs integer[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    steps CONSTANT jsonb := template -> 'steps';
    step jsonb;
    path text;
    fault text := ledger.template_fault(template);
    waits jsonb[] := '{}';
    done integer[] := '{}';
    ready integer[];
BEGIN
    IF fault IS NOT NULL THEN
        PERFORM ledger.refuse_template(fault);
    END IF;
    FOR position IN 0 .. jsonb_array_length(steps) - 1 LOOP
        ordinal := position;
        step := steps -> position;
        path := format('steps[%s]', position);
        fault := ledger.step_fault(step, path, position, jsonb_array_length(steps));
        IF fault IS NOT NULL THEN
            PERFORM ledger.refuse_template(fault);
        END IF;
        kind := step ->> 'kind';
        executor := coalesce(step ->> 'executor', kind);
        IF executor <> ALL (ledger.executors()) THEN
            RAISE EXCEPTION 'OPS_005: %: there is no executor %', path, executor
                USING HINT = 'The executors are: ' || array_to_string(ledger.executors(), ', ');
        END IF;
        params := coalesce(step -> 'params', '{}');
        max_retries := ledger.json_whole(step -> 'max_retries');
        needs := CASE
            WHEN jsonb_typeof(step -> 'needs') = 'array' THEN
                ARRAY(SELECT n::integer FROM jsonb_array_elements_text(step -> 'needs') AS n)
            WHEN position = 0 OR coalesce((template -> 'parallel') = 'true', false) THEN '{}'
            ELSE ARRAY[position - 1] END;
        waits := array_append(waits, to_jsonb(needs));
        RETURN NEXT;
    END LOOP;

    -- A step in a cycle waits for itself, and never becomes ready.
    LOOP
        SELECT array_agg(o) INTO ready FROM generate_series(0, cardinality(waits) - 1) AS o
        WHERE o <> ALL (done) AND NOT EXISTS (
            SELECT FROM jsonb_array_elements_text(waits[o + 1]) AS n WHERE n::integer <> ALL (done));
        EXIT WHEN ready IS NULL;
        done := done || ready;
    END LOOP;
    IF cardinality(done) < cardinality(waits) THEN
        PERFORM ledger.refuse_template(format('steps[%s].needs is not free of cycles',
            (SELECT min(o) FROM generate_series(0, cardinality(waits) - 1) AS o
             WHERE o <> ALL (done))));
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ledger.refuse_template(fault text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'OPS_004: the template''s %', fault
        USING HINT = 'A template has steps, each with a kind: see docs/templates.md.';
END
$$;

-- The first fault of a template outside of its steps, or null.
CREATE OR REPLACE FUNCTION ledger.template_fault(template jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN jsonb_typeof(template) IS DISTINCT FROM 'object' THEN 'template is not an object'
        WHEN jsonb_typeof(template -> 'title') NOT IN ('string', 'null') THEN 'title is not text'
        WHEN jsonb_typeof(template -> 'description') NOT IN ('string', 'null')
            THEN 'description is not text'
        WHEN jsonb_typeof(template -> 'risk_level') <> 'null'
            AND template -> 'risk_level' NOT IN ('"low"', '"medium"', '"high"')
            THEN 'risk_level is not low, medium or high'
        WHEN jsonb_typeof(template -> 'steps') IS DISTINCT FROM 'array' OR template -> 'steps' = '[]'
            THEN 'steps is not a list of at least one step'
        WHEN jsonb_array_length(template -> 'steps') > 100
            THEN 'steps is not a list of at most 100 steps'
        WHEN jsonb_typeof(template -> 'parallel') NOT IN ('boolean', 'null')
            THEN 'parallel is not true or false'
        WHEN octet_length(template::text) > 1048576 THEN 'template is not at most 1048576 bytes'
        END
$$;

-- The first fault of a step, or null. It does not check whether the executor exists.
CREATE OR REPLACE FUNCTION ledger.step_fault(step jsonb, path text, ordinal integer, total integer)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT path || CASE
        WHEN jsonb_typeof(step) <> 'object' THEN ' is not an object'
        WHEN jsonb_typeof(step -> 'kind') IS DISTINCT FROM 'string'
            OR octet_length(step ->> 'kind') NOT BETWEEN 1 AND 200
            THEN '.kind is not text of 1 to 200 bytes'
        WHEN jsonb_typeof(step -> 'executor') NOT IN ('string', 'null') THEN '.executor is not text'
        WHEN jsonb_typeof(step -> 'params') <> 'object' THEN '.params is not an object'
        WHEN jsonb_typeof(step -> 'max_retries') <> 'null'
            AND coalesce(ledger.json_whole(step -> 'max_retries') NOT BETWEEN 0 AND 1000, true)
            THEN '.max_retries is not a whole number from 0 to 1000'
        WHEN jsonb_typeof(step -> 'needs') NOT IN ('array', 'null')
            THEN '.needs is not a list of positions'
        WHEN jsonb_typeof(step -> 'needs') = 'array' AND EXISTS (
            SELECT FROM jsonb_array_elements(step -> 'needs') AS n
            WHERE coalesce(ledger.json_whole(n) NOT BETWEEN 0 AND total - 1, true)
                OR ledger.json_whole(n) = ordinal)
            THEN '.needs is not a list of positions of other steps, counted from 0'
        END
$$;
