-- ledger.open_times: from when until when missions were open, as the log that is here says: from the first moment at
-- which an event shows a mission to have been open to the last.
--
-- What the archive and erasures record of a mission does not count, nor does a change by hand of another column than its
-- status and its times. Mission.openMoments in Swift says the same of events that have left the database; OpenTimesTests
-- compares the two.
--
-- Returns  mission, and the two moments; no row for a mission that no event here shows so.
-- Locks    none.
-- Used by  retention, erase and archive restore, for what a hold on a time covers.
CREATE OR REPLACE FUNCTION ledger.open_times(missions uuid[])
RETURNS TABLE (mission uuid, began timestamptz, ended timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.stream, min(m.moment), max(m.moment)
    FROM ledger.events AS e CROSS JOIN LATERAL (
        SELECT e.recorded_at
        WHERE e.type IN ('mission.created', 'mission.started', 'mission.succeeded', 'mission.failed',
                'mission.reopened', 'mission.removed')
            OR e.type = 'mission.amended' AND e.data -> 'changes' -> 'status' IS NOT NULL
            OR e.type = 'mission.inserted' AND e.data -> 'columns' ->> 'status' IN ('approved', 'running')
        UNION ALL
        -- A row that a hand put in says itself when it was open.
        SELECT v.value::timestamptz
        FROM (VALUES (e.data -> 'columns' ->> 'created_at'), (coalesce(e.data -> 'columns' ->> 'completed_at',
            e.data -> 'columns' ->> 'updated_at'))) AS v(value)
        WHERE e.type = 'mission.inserted'
        UNION ALL
        SELECT v.value::timestamptz
        FROM (VALUES ('created_at'), ('completed_at')) AS c(name),
            json_array_elements_text(e.data -> 'changes' -> c.name) AS v(value)
        WHERE e.type = 'mission.amended') AS m(moment)
    WHERE e.stream = ANY (missions)
    GROUP BY e.stream HAVING min(m.moment) IS NOT NULL
$$;
ALTER FUNCTION ledger.open_times(uuid[]) OWNER TO opsledger_owner;
