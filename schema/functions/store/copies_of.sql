-- ledger.copies_of: the rows that hold what a mission or an agent event said, or a copy of it.
--
-- An agent event is copied into its reaction, and from there into the proposal, mission, steps, runs, radar items, the
-- mission's reports, and what follows from these. A mission's own texts come from its proposal, and the proposal's from
-- the agent event whose reaction created it. The result of a step can repeat a radar item; the step names the item
-- (`reads`), and the reports about that step are copies too. The search uses events, not rows, so that it also finds
-- removed and archived rows.
--
-- Takes    the rows to erase, and other rows that are known to hold copies. If the first part of the log is archived,
--          the caller reads that part in the store, and calls this function again with the rows that it found.
-- Returns  the stream; its row type and last version, if the log has its events; whether others were copied from it;
--          whether it still has content to erase; and the missions that the row belongs to.
-- Used by  erase; retention and archive restore, to find what a hold on a source covers. It reads the log once.
CREATE OR REPLACE FUNCTION ledger.copies_of(roots uuid[], others uuid[])
RETURNS TABLE (stream uuid, row_type text, version integer, is_root boolean, is_due boolean, missions uuid[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET jit = off AS $$
    WITH RECURSIVE links (type, part, path, row_type, copy, is_origin, meaning, of_type) AS (VALUES
        -- A test compares this list with StreamLink in Swift.
        ('mission.created', 'data', '{proposal_id}', 'proposal', 'from', true, 'row', ''),
        ('mission.inserted', 'data', '{columns,proposal_id}', 'proposal', 'from', true, 'row', ''),
        ('mission.amended', 'data', '{changes,proposal_id,1}', 'proposal', 'from', true, 'row', ''),
        ('mission.restored', 'data', '{columns,proposal_id}', 'proposal', 'from', true, 'row', ''),
        ('agent_event.reported', 'data', '{mission_id}', 'mission', 'from', false, 'row', ''),
        ('agent_event.reported', 'data', '{mission_id}', 'step', 'from', false, 'failed', 'mission:failed'),
        ('agent_event.reported', 'content', '{data,proposal_id}', 'proposal', 'from', false, 'row', 'proposal:'),
        ('agent_event.reported', 'content', '{data,step_id}', 'step', 'from', false, 'row', 'step:'),
        ('agent_event.inserted', 'data', '{columns,mission_id}', 'mission', 'from', false, 'row', ''),
        ('agent_event.inserted', 'content', '{data,proposal_id}', 'proposal', 'from', false, 'row', 'proposal:'),
        ('agent_event.inserted', 'content', '{data,step_id}', 'step', 'from', false, 'row', 'step:'),
        ('agent_event.amended', 'data', '{changes,mission_id,1}', 'mission', 'from', false, 'row', ''),
        ('agent_event.amended', 'content', '{data,1,proposal_id}', 'proposal', 'from', false, 'row', 'proposal:'),
        ('agent_event.amended', 'content', '{data,1,step_id}', 'step', 'from', false, 'row', 'step:'),
        ('agent_event.restored', 'data', '{columns,mission_id}', 'mission', 'from', false, 'row', ''),
        ('agent_event.restored', 'content', '{data,proposal_id}', 'proposal', 'from', false, 'row', 'proposal:'),
        ('agent_event.restored', 'content', '{data,step_id}', 'step', 'from', false, 'row', 'step:'),
        ('reaction.queued', 'data', '{event_id}', 'agent_event', 'from', true, 'row', ''),
        ('reaction.done', 'data', '{proposal_id}', 'proposal', 'into', true, 'row', ''),
        ('reaction.inserted', 'data', '{columns,event_id}', 'agent_event', 'from', true, 'row', ''),
        ('reaction.inserted', 'data', '{columns,payload,result,r_proposal_id}', 'proposal', 'into', true, 'row', ''),
        ('reaction.amended', 'data', '{changes,event_id,1}', 'agent_event', 'from', true, 'row', ''),
        ('reaction.amended', 'data', '{changes,payload,1,result,r_proposal_id}', 'proposal', 'into', true, 'row', ''),
        ('reaction.restored', 'data', '{columns,event_id}', 'agent_event', 'from', true, 'row', ''),
        ('reaction.restored', 'data', '{columns,payload,result,r_proposal_id}', 'proposal', 'into', true, 'row', ''),
        ('step.created', 'data', '{mission_id}', 'mission', 'from', false, 'row', ''),
        ('step.succeeded', 'data', '{reads}', 'radar', 'from', false, 'row', ''),
        ('step.succeeded', 'content', '{result,id}', 'radar', 'into', false, 'changed', ''),
        ('step.inserted', 'data', '{columns,mission_id}', 'mission', 'from', false, 'row', ''),
        ('step.amended', 'data', '{changes,mission_id,1}', 'mission', 'from', false, 'row', ''),
        ('step.restored', 'data', '{columns,mission_id}', 'mission', 'from', false, 'row', ''),
        ('run.started', 'data', '{step_id}', 'step', 'from', false, 'row', ''),
        ('run.inserted', 'data', '{columns,step_id}', 'step', 'from', false, 'row', ''),
        ('run.amended', 'data', '{changes,step_id,1}', 'step', 'from', false, 'row', ''),
        ('run.restored', 'data', '{columns,step_id}', 'step', 'from', false, 'row', '')
    ), names AS MATERIALIZED (
        SELECT e.entry, e.stream, split_part(e.type, '.', 1) AS row_type, l.row_type AS named_row_type, l.copy, l.is_origin,
            l.meaning,
            CASE WHEN n.value ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN n.value::uuid END AS named
        FROM ledger.events AS e JOIN links AS l ON l.type = e.type
            CROSS JOIN LATERAL (
                SELECT CASE l.part WHEN 'data' THEN e.data ELSE e.content END #> l.path::text[]) AS f(field)
            CROSS JOIN LATERAL unnest(CASE json_typeof(f.field) WHEN 'array'
                THEN ARRAY(SELECT json_array_elements_text(f.field)) ELSE ARRAY[f.field #>> '{}'] END) AS n(value)
        WHERE l.of_type = '' OR coalesce(e.data ->> 'type', e.data -> 'columns' ->> 'type') LIKE l.of_type || '%'
    ), edges (parent, parent_row_type, child, is_origin) AS MATERIALIZED (
        -- This form makes the planner expect few rows, and create small hash tables.
        SELECT CASE n.copy WHEN 'from' THEN r.named ELSE n.stream END,
            CASE n.copy WHEN 'from' THEN n.named_row_type ELSE n.row_type END,
            CASE n.copy WHEN 'from' THEN n.stream ELSE r.named END, n.is_origin
        FROM names AS n CROSS JOIN LATERAL (SELECT CASE n.meaning WHEN 'row' THEN n.named
            WHEN 'changed' THEN (SELECT n.named FROM ledger.events AS e
                WHERE e.entry = n.entry AND e.stream = n.named LIMIT 1)
            ELSE (SELECT (e.data ->> 'step_id')::uuid FROM ledger.events AS e
                WHERE e.entry = n.entry AND e.stream = n.named AND e.type = 'mission.failed' LIMIT 1) END) AS r(named)
        WHERE r.named IS NOT NULL
    ), up (stream) AS (
        SELECT unnest(roots)
        UNION
        SELECT e.parent FROM up JOIN edges AS e ON e.child = up.stream WHERE e.is_origin
    ), down (stream) AS (
        (SELECT up.stream FROM up UNION ALL SELECT unnest(others))
        UNION
        SELECT e.child FROM down JOIN edges AS e ON e.parent = down.stream
    )
    SELECT d.stream, e.row_type, e.version, up.stream IS NOT NULL,
        x.entry IS NULL OR coalesce(e.salted > x.entry, false), coalesce(m.missions, '{}')
    FROM down AS d LEFT JOIN up ON up.stream = d.stream
        LEFT JOIN ledger.confirmed_erasures() AS x ON x.stream = d.stream
        LEFT JOIN (
            SELECT g.child, array_agg(DISTINCT g.parent) AS missions FROM edges AS g
            WHERE g.parent_row_type = 'mission' AND g.child IN (SELECT n.stream FROM down AS n)
            GROUP BY g.child) AS m ON m.child = d.stream
        LEFT JOIN (
            SELECT e.stream, split_part(min(e.type), '.', 1) AS row_type, max(e.version) AS version,
                max(e.entry) FILTER (WHERE e.salt IS NOT NULL AND e.type NOT LIKE '%.erased') AS salted
            FROM ledger.events AS e
            WHERE e.stream = ANY (ARRAY(SELECT n.stream FROM down AS n))
            GROUP BY e.stream) AS e ON e.stream = d.stream
    ORDER BY d.stream
$$;
