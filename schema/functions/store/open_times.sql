-- ledger.open_times: from when to when missions were open: the first and the last moment at which an event in the
-- database shows that the mission was open.
--
-- Events of archive and erasure do not count, nor do manual changes of columns other than the status and the times.
-- Mission.openMoments in Swift has the same rules for archived events, and OpenTimesTests compares the two.
--
-- Returns  the mission and the two moments; no row for a mission without such an event.
-- Used by  retention, erase and archive restore, to find what a hold on a time covers.
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
        -- A row that a manual change inserted has the times in its columns.
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
