-- ledger.next_step: locks the step that a claim takes next.
--
-- Order    First a step that waited for other steps, in a running mission, so that missions which have begun end first.
--          Then a step that waits for no other. Then a step that waited for others in an open or failed mission, which
--          a manual change made ready. Within each kind, the step that is due for the longest time. Policy
--          worker_policy must allow its executor.
-- Returns  the step's id, or null. Never one of `quarantined`.
-- Locks    the step's row; also, of steps that wait for no other, the first of each executor. It skips steps that
--          others have locked.
-- Used by  ops_claim_next_step. Cached plans can be from a time with few rows, so the settings make them use indexes.
CREATE OR REPLACE FUNCTION ledger.next_step(quarantined uuid[]) RETURNS uuid
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    instant CONSTANT timestamptz := ledger.now();
    rules CONSTANT record := ledger.worker_rules();
    step uuid;
BEGIN
    IF NOT rules.readable THEN
        RETURN NULL;
    END IF;
    step := ledger.next_follower('{running}', rules.allowed, rules.blocked, quarantined);
    IF step IS NOT NULL THEN
        RETURN step;
    END IF;

    WITH RECURSIVE executors (name) AS (
        SELECT min(coalesce(s.executor, s.kind)) FROM public.ops_mission_steps AS s
        WHERE s.status = 'queued' AND coalesce(cardinality(s.needs), 0) = 0 AND s.not_before IS NULL
        UNION ALL
        SELECT (SELECT min(coalesce(s.executor, s.kind)) FROM public.ops_mission_steps AS s
            WHERE s.status = 'queued' AND coalesce(cardinality(s.needs), 0) = 0
                AND s.not_before IS NULL AND coalesce(s.executor, s.kind) > e.name)
        FROM executors AS e WHERE e.name IS NOT NULL
    ), undelayed AS (
        SELECT q.* FROM executors AS e CROSS JOIN LATERAL (
            SELECT s.id, s.created_at AS due, s.ordinal
            FROM public.ops_mission_steps AS s
            WHERE s.status = 'queued' AND coalesce(cardinality(s.needs), 0) = 0
                AND s.not_before IS NULL AND coalesce(s.executor, s.kind) = e.name
                AND s.failure_count BETWEEN 0 AND 2000000000 AND s.id <> ALL (quarantined)
                AND (SELECT m.status <> 'succeeded' FROM public.ops_missions AS m
                     WHERE m.id = s.mission_id)
            ORDER BY s.created_at, s.id LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED) AS q
        WHERE NOT rules.blocked ? e.name AND coalesce(rules.allowed ? e.name, true)
    ), delayed AS (
        SELECT s.id, s.not_before AS due, s.ordinal
        FROM public.ops_mission_steps AS s
        WHERE s.status = 'queued' AND coalesce(cardinality(s.needs), 0) = 0
            AND s.not_before <= instant
            AND s.failure_count BETWEEN 0 AND 2000000000 AND s.id <> ALL (quarantined)
            AND NOT rules.blocked ? coalesce(s.executor, s.kind)
            AND coalesce(rules.allowed ? coalesce(s.executor, s.kind), true)
            AND (SELECT m.status <> 'succeeded' FROM public.ops_missions AS m
                 WHERE m.id = s.mission_id)
        ORDER BY s.not_before, s.id LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT q.id INTO step FROM (SELECT * FROM undelayed UNION ALL SELECT * FROM delayed) AS q
    ORDER BY q.due, q.ordinal, q.id LIMIT 1;
    RETURN coalesce(step,
        ledger.next_follower('{approved,failed}', rules.allowed, rules.blocked, quarantined));
END
$$;

-- The same for steps that waited for other steps, in missions of these states.
CREATE OR REPLACE FUNCTION ledger.next_follower(
    states public.ops_mission_status[], allowed jsonb, blocked jsonb, quarantined uuid[]) RETURNS uuid
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    instant CONSTANT timestamptz := ledger.now();
    step uuid;
BEGIN
    SELECT s.id INTO step
    FROM public.ops_missions AS m JOIN public.ops_mission_steps AS s ON s.mission_id = m.id
    WHERE m.status = ANY (states) AND s.status = 'queued'
        AND coalesce(cardinality(s.needs), 0) > 0
        AND coalesce(s.not_before <= instant, true)
        AND s.failure_count BETWEEN 0 AND 2000000000 AND s.id <> ALL (quarantined)
        AND NOT blocked ? coalesce(s.executor, s.kind)
        AND coalesce(allowed ? coalesce(s.executor, s.kind), true)
        AND NOT EXISTS (SELECT FROM public.ops_mission_steps AS p WHERE p.mission_id = s.mission_id
            AND p.ordinal = ANY (s.needs) AND p.status <> 'succeeded')
    ORDER BY coalesce(s.not_before, s.created_at), s.ordinal, s.id LIMIT 1
    FOR NO KEY UPDATE OF s SKIP LOCKED;
    RETURN step;
END
$$;
