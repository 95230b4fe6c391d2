-- ledger.copies_of: the rows that hold what a mission or an agent event said, or a copy of it.
--
-- What comes of an agent event copies from it: reaction, proposal, mission, steps, runs, the radar, what the
-- mission reports, and what comes of that. A mission's own words came from its proposal, and that from the agent event
-- whose reaction led to it. Events are asked, not rows, so that rows which have left are found too.
--
-- Returns  stream, noun, last version; whether there is anything left to erase.
-- Locks    none. Reads the log once.
-- Used by  erase.
CREATE OR REPLACE FUNCTION ledger.copies_of(root uuid, root_noun text)
RETURNS TABLE (stream uuid, noun text, version integer, is_due boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE facts AS MATERIALIZED (
        SELECT e.stream::text AS stream, split_part(e.type, '.', 1) AS noun,
            split_part(e.type, '.', 2) AS what, e.entry, e.data, e.content
        FROM ledger.events AS e
        WHERE e.type IN ('reaction.queued', 'reaction.done', 'mission.created', 'step.created', 'step.succeeded',
                'run.started', 'agent_event.reported')
            OR split_part(e.type, '.', 2) IN ('inserted', 'amended', 'restored')
    ), edges (parent, parent_noun, child) AS MATERIALIZED (
        -- Whose row names another, in the event that made it or by hand.
        SELECT coalesce(f.data ->> r.name, f.data -> 'columns' ->> r.name, f.data -> 'changes' -> r.name ->> 1),
            r.parent, f.stream
        FROM facts AS f JOIN (VALUES
            ('reaction', 'agent_event', 'event_id'), ('mission', 'proposal', 'proposal_id'),
            ('step', 'mission', 'mission_id'), ('run', 'step', 'step_id'),
            ('agent_event', 'mission', 'mission_id')) AS r(noun, parent, name) USING (noun)
        WHERE f.what NOT IN ('done', 'succeeded')
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
    ), up (stream, noun) AS (
        SELECT root::text, root_noun
        UNION
        SELECT e.parent, e.parent_noun FROM up JOIN edges AS e ON e.child = up.stream
        WHERE e.parent IS NOT NULL AND (up.noun, e.parent_noun) IN (('mission', 'proposal'),
            ('proposal', 'reaction'), ('reaction', 'agent_event'))
    ), down (stream) AS (
        SELECT up.stream FROM up
        UNION
        SELECT e.child FROM down JOIN edges AS e ON e.parent = down.stream WHERE e.child IS NOT NULL
    )
    SELECT e.stream, split_part(min(e.type), '.', 1), max(e.version),
        bool_or(e.salt IS NOT NULL AND e.type NOT LIKE '%.erased') OR NOT bool_or(e.type LIKE '%.erased')
    FROM ledger.events AS e
    WHERE e.stream = ANY (ARRAY(SELECT d.stream::uuid FROM down AS d))
    GROUP BY e.stream
    ORDER BY min(e.entry), min(e.index), e.stream
$$;
ALTER FUNCTION ledger.copies_of(uuid, text) OWNER TO opsledger_owner;
