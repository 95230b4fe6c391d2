-- ledger.recover_steps: takes back running steps whose holders have disappeared.
--
-- Takes    null for steps whose leases have expired; or an interval for steps without a current lease that nobody
--          changed for so long. It skips steps with an impossible failure_count. If a constraint or trigger of the
--          tables refuses the change, it skips that step with a WARNING.
-- Returns  how many steps are queued again, and how many are dead letters or skipped.
-- Locks    the steps with their missions, in the order of the steps' ids. It skips steps that others have locked.
-- Used by  ops_recover_expired_leases, ops_recover_stale_steps.
CREATE OR REPLACE FUNCTION ledger.recover_steps(
    untouched_for interval, OUT requeued integer, OUT failed integer)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    began CONSTANT timestamptz := ledger.now();
    ids uuid[];
    step_id uuid;
BEGIN
    -- It locks all steps before it changes the first. A cursor would skip rows that this transaction changes meanwhile.
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
        EXCEPTION WHEN OTHERS THEN
            IF NOT ledger.is_of_a_row(SQLSTATE, SQLERRM) THEN
                RAISE;
            END IF;
            RAISE WARNING 'step % is skipped, because the database refuses to change it: %', step_id, SQLERRM;
        END;
    END LOOP;
END
$$;

-- Whether an error can be the fault of one row (a constraint, an index, a trigger of somebody else). A lost race, a
-- missing right, or a transaction that may not write any more is not.
CREATE OR REPLACE FUNCTION ledger.is_of_a_row(state text, message text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT state NOT IN ('40001', '40P01', '42501')
        AND (state <> '55000' OR starts_with(message, 'OPS_016'))
$$;
