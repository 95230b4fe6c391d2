-- ledger.report_outcome: inserts an agent event about an outcome of the loop, unless its dedupe key exists already.
--
-- The event is already processed, unless a pattern of the reaction matrix can match it: a pattern whose type begins
-- with the same word and colon. If the matrix cannot be read, the next heartbeat processes the event.
--
-- Used by  submit, fail_attempt, fail_mission, ops_maybe_finalize_mission.
CREATE OR REPLACE FUNCTION ledger.report_outcome(
    event_type text, event_data jsonb, event_key text, event_mission uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    instant CONSTANT timestamptz := ledger.now();
    patterns jsonb := (SELECT p.value -> 'patterns' FROM public.ops_policy AS p
                       WHERE p.key = 'reaction_matrix');
    watched boolean := true;
BEGIN
    IF jsonb_typeof(patterns) = 'array' THEN
        watched := EXISTS (
            SELECT FROM jsonb_path_query(patterns, 'strict $[*]') AS p,
                jsonb_path_query(coalesce(p -> 'event_type', p -> 'type'), 'lax $[*]') AS t
            WHERE starts_with(t #>> '{}', split_part(event_type, ':', 1) || ':'));
    END IF;
    INSERT INTO public.ops_agent_events
        (type, data, dedupe_key, mission_id, processed_at, created_at)
    VALUES (event_type, event_data, event_key, event_mission,
        CASE WHEN NOT watched THEN instant END, instant)
    ON CONFLICT (dedupe_key) DO NOTHING;
END
$$;
