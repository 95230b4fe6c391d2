-- ledger.copies_of: the rows that hold what a mission or an agent event said, or a copy of it.
--
-- What comes of an agent event copies from it: reaction, proposal, mission, steps, runs, the radar, what the
-- mission reports, and what comes of that. A mission's own words came from its proposal, and that from the agent event
-- whose reaction led to it. A step of any mission whose result repeats a row names that row (`reads`); what the loop
-- reports of that step, and what comes of the report, holds a copy as well. Events are asked, not rows, so that rows
-- which have left are found too.
--
-- Takes    what is to be erased, with its noun, and what else is known of by now: where the log's beginning is in the
--          store only, who asks reads that beside this, and asks again with what it found.
-- Returns  stream; noun and last version where it has events here; its noun where it is what others came of;
--          whether there is anything left to erase; and the missions that the row belongs to, as events say.
-- Locks    none. Reads the log once.
-- Used by  erase; retention and archive restore, for what a hold on a source covers.
CREATE OR REPLACE FUNCTION ledger.copies_of(roots uuid[], root_nouns text[], others uuid[])
RETURNS TABLE (stream uuid, noun text, version integer, root_noun text, is_due boolean, missions uuid[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' AS $$
    WITH RECURSIVE facts AS MATERIALIZED (
        SELECT e.stream::text AS stream, split_part(e.type, '.', 1) AS noun,
            split_part(e.type, '.', 2) AS what, e.entry, e.data, e.content
        FROM ledger.events AS e
        WHERE e.type IN ('reaction.queued', 'reaction.done', 'mission.created', 'mission.failed', 'step.created',
                'step.succeeded', 'run.started', 'agent_event.reported')
            OR split_part(e.type, '.', 2) IN ('inserted', 'amended', 'restored')
    ), edges (parent, parent_noun, child) AS MATERIALIZED (
        -- Whose row names another, in the event that made it or by hand.
        SELECT coalesce(f.data ->> r.name, f.data -> 'columns' ->> r.name, f.data -> 'changes' -> r.name ->> 1),
            r.parent, f.stream
        FROM facts AS f JOIN (VALUES
            ('reaction', 'agent_event', 'event_id'), ('mission', 'proposal', 'proposal_id'),
            ('step', 'mission', 'mission_id'), ('run', 'step', 'step_id'),
            ('agent_event', 'mission', 'mission_id')) AS r(noun, parent, name) USING (noun)
        WHERE f.what NOT IN ('done', 'succeeded', 'failed')
        UNION ALL
        SELECT f.stream, 'reaction', coalesce(f.data ->> 'proposal_id',
            f.data -> 'columns' -> 'payload' -> 'result' ->> 'r_proposal_id',
            f.data -> 'changes' -> 'payload' -> 1 -> 'result' ->> 'r_proposal_id')
        FROM facts AS f WHERE f.noun = 'reaction' AND f.what <> 'queued'
        UNION ALL
        SELECT f.content -> 'data' ->> 'proposal_id', 'proposal', f.stream
        FROM facts AS f
        WHERE f.noun = 'agent_event' AND f.what IN ('reported', 'inserted')
            AND coalesce(f.data ->> 'type', f.data -> 'columns' ->> 'type') LIKE 'proposal:%'
        UNION ALL
        SELECT f.stream, 'step', e.stream::text
        FROM facts AS f JOIN ledger.events AS e ON e.entry = f.entry AND e.type LIKE 'radar.%'
            AND e.stream::text = f.content -> 'result' ->> 'id'
        WHERE f.noun = 'step' AND f.what = 'succeeded'
        UNION ALL
        -- A result that repeats other rows.
        SELECT r.stream, 'radar', f.stream
        FROM facts AS f CROSS JOIN LATERAL json_array_elements_text(f.data -> 'reads') AS r(stream)
        WHERE f.noun = 'step' AND f.what = 'succeeded' AND json_typeof(f.data -> 'reads') = 'array'
        UNION ALL
        -- What the loop, or a function of the schema, reported of a step: its result, or its error.
        SELECT f.content -> 'data' ->> 'step_id', 'step', f.stream
        FROM facts AS f
        WHERE f.noun = 'agent_event' AND f.what IN ('reported', 'inserted')
            AND coalesce(f.data ->> 'type', f.data -> 'columns' ->> 'type') LIKE 'step:%'
        UNION ALL
        -- A failed mission's report has the error of the step that failed it.
        SELECT f.data ->> 'step_id', 'step', a.stream
        FROM facts AS f JOIN facts AS a ON a.entry = f.entry AND a.noun = 'agent_event' AND a.what = 'reported'
            AND a.data ->> 'mission_id' = f.stream
        WHERE f.noun = 'mission' AND f.what = 'failed'
    ), up (stream, noun) AS (
        SELECT r.stream::text, r.noun FROM unnest(roots, root_nouns) AS r(stream, noun)
        UNION
        SELECT e.parent, e.parent_noun FROM up JOIN edges AS e ON e.child = up.stream
        WHERE e.parent IS NOT NULL AND (up.noun, e.parent_noun) IN (('mission', 'proposal'),
            ('proposal', 'reaction'), ('reaction', 'agent_event'))
    ), down (stream) AS (
        (SELECT up.stream FROM up UNION ALL SELECT o.stream::text FROM unnest(others) AS o(stream))
        UNION
        SELECT e.child FROM down JOIN edges AS e ON e.parent = down.stream WHERE e.child IS NOT NULL
    )
    SELECT d.stream::uuid, e.noun, e.version, up.noun,
        x.entry IS NULL OR coalesce(e.salted > x.entry, false), coalesce(m.missions, '{}')
    FROM down AS d LEFT JOIN up ON up.stream = d.stream
        LEFT JOIN ledger.believed_erasures() AS x ON x.stream = d.stream::uuid
        LEFT JOIN (
            SELECT g.child, array_agg(DISTINCT g.parent::uuid) AS missions FROM edges AS g
            WHERE g.parent_noun = 'mission' AND g.parent IS NOT NULL AND g.child IN (SELECT n.stream FROM down AS n)
            GROUP BY g.child) AS m ON m.child = d.stream
        LEFT JOIN (
            SELECT e.stream, split_part(min(e.type), '.', 1) AS noun, max(e.version) AS version,
                max(e.entry) FILTER (WHERE e.salt IS NOT NULL AND e.type NOT LIKE '%.erased') AS salted
            FROM ledger.events AS e
            WHERE e.stream = ANY (ARRAY(SELECT n.stream::uuid FROM down AS n))
            GROUP BY e.stream) AS e ON e.stream = d.stream::uuid
    ORDER BY d.stream
$$;
ALTER FUNCTION ledger.copies_of(uuid[], text[], uuid[]) OWNER TO opsledger_owner;
