-- ops_extract_step_kinds: the kinds of a template's steps.
--
-- Returns  each kind once, sorted by bytes; null if there is none, as in the predecessor. It skips steps without a
--          kind, and kinds that are not text: other functions refuse such a template (D38).
-- Raises   OPS_004 if `steps` exists and is not a list.
-- Used by  the predecessor's clients.
CREATE OR REPLACE FUNCTION public.ops_extract_step_kinds(p_template jsonb) RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF jsonb_typeof(p_template) = 'object' AND jsonb_typeof(p_template -> 'steps') <> 'array' THEN
        PERFORM ledger.refuse_template('steps is not a list of at least one step');
    END IF;
    RETURN (
        SELECT array_agg(k.kind ORDER BY k.kind COLLATE "C") FROM (
            SELECT DISTINCT s.step ->> 'kind' AS kind
            FROM jsonb_path_query(p_template, 'lax $.steps[*]') AS s (step)
            WHERE jsonb_typeof(p_template) = 'object' AND jsonb_typeof(s.step -> 'kind') = 'string'
        ) AS k);
END
$$;
ALTER FUNCTION public.ops_extract_step_kinds(jsonb) OWNER TO opsledger_owner;
