-- ledger.recover_steps: takes back running steps that nobody holds any more.
--
-- Which    without a threshold, those whose lease has run out; with one, those without a live lease that
--          were not touched for so long. Passed over are a row that no history makes (a negative
--          failure_count) and, with a WARNING, one that the tables' constraints or triggers refuse to fail.
-- Returns  how many are queued again, and how many have failed for good or were skipped.
-- Locks    steps with their missions, in the order of the steps' ids; who is locked by others is passed
--          over, as by the engine.
-- Used by  ops_recover_expired_leases, ops_recover_stale_steps.
CREATE OR REPLACE FUNCTION ledger.recover_steps(
    untouched_for interval, OUT requeued integer, OUT failed integer)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    began CONSTANT timestamptz := ledger.now();
    ids uuid[];
    step_id uuid;
BEGIN
    -- All are locked before the first is changed: a cursor would pass over rows that this very
    -- transaction has changed since it was opened.
    SELECT array_agg(x.id ORDER BY x.made, x.ordinal, x.id) INTO ids FROM (
        SELECT s.id, s.ordinal, m.created_at AS made
        FROM public.ops_mission_steps AS s JOIN public.ops_missions AS m ON m.id = s.mission_id
        WHERE s.status = 'running' AND s.failure_count BETWEEN 0 AND 2000000000 AND CASE
            WHEN untouched_for IS NULL THEN s.lease_expires_at < began
            ELSE coalesce(s.lease_expires_at, '-infinity') < began
                AND greatest(s.reserved_at, s.updated_at) < began - untouched_for END
        ORDER BY s.id FOR NO KEY UPDATE OF s, m SKIP LOCKED
    ) AS x;
    requeued := 0;
    failed := 0;
    FOREACH step_id IN ARRAY coalesce(ids, '{}') LOOP
        BEGIN
            IF ledger.fail_attempt(step_id, began) THEN
                requeued := requeued + 1;
            ELSE
                failed := failed + 1;
            END IF;
        EXCEPTION
            WHEN OTHERS THEN
                IF NOT ledger.is_of_a_row(SQLSTATE, SQLERRM) THEN
                    RAISE;
                END IF;
                RAISE WARNING 'step % is passed over: %', step_id, SQLERRM;
        END;
    END LOOP;
END
$$;
ALTER FUNCTION ledger.recover_steps(interval) OWNER TO opsledger_owner;

-- Whether an error can be one row's fault (a constraint, an index or a trigger of somebody's), and not a lost
-- race, a missing right or a transaction that may not write any more.
CREATE OR REPLACE FUNCTION ledger.is_of_a_row(state text, message text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT state NOT IN ('40001', '40P01', '42501')
        AND (state <> '55000' OR starts_with(message, 'OPS_016'))
$$;
ALTER FUNCTION ledger.is_of_a_row(text, text) OWNER TO opsledger_owner;
