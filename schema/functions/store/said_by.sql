-- ledger.said_by: the streams of the agent events that have this source, or had it before a manual change, by the
-- events in the database.
--
-- Used by  retention, erase and archive restore, to find what a hold on a source covers. It reads the log once.
CREATE OR REPLACE FUNCTION ledger.said_by(source text) RETURNS TABLE (stream uuid)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT e.stream FROM ledger.events AS e
    WHERE e.type IN ('agent_event.reported', 'agent_event.inserted', 'agent_event.amended', 'agent_event.restored')
        AND said_by.source IN (e.content -> 'data' ->> 'source', e.content -> 'data' -> 0 ->> 'source',
            e.content -> 'data' -> 1 ->> 'source')
$$;
