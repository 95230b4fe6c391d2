-- ledger.said_by: the agent events of a source, whether they have it now or had it before a hand changed it.
--
-- Returns  their streams, as far as the log that is here says.
-- Locks    none. Reads the log once.
-- Used by  retention, erase and archive restore, for what a hold on a source covers.
CREATE OR REPLACE FUNCTION ledger.said_by(source text) RETURNS TABLE (stream uuid)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT e.stream FROM ledger.events AS e
    WHERE e.type IN ('agent_event.reported', 'agent_event.inserted', 'agent_event.amended', 'agent_event.restored')
        AND said_by.source IN (e.content -> 'data' ->> 'source', e.content -> 'data' -> 0 ->> 'source',
            e.content -> 'data' -> 1 ->> 'source')
$$;
ALTER FUNCTION ledger.said_by(text) OWNER TO opsledger_owner;
