-- ledger.runner_lease: how long a task is a runner's that no longer renews it.
CREATE OR REPLACE FUNCTION ledger.runner_lease() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '30 seconds' $$;
ALTER FUNCTION ledger.runner_lease() OWNER TO opsledger_owner;

-- ledger.is_running: whether a runner still has its task: its lease has not ended, and neither has its session.
--
-- A lease that ends later than any can is of a clock that was ahead. Sessions behind a pooler are not known.
CREATE OR REPLACE FUNCTION ledger.is_running(runner ledger.runners) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF runner.expires_at > now AND runner.expires_at <= now + ledger.runner_lease() THEN
        RETURN runner.backend IS NULL OR EXISTS (SELECT FROM pg_stat_get_activity(runner.backend));
    END IF;
    RETURN false;
END
$$;
ALTER FUNCTION ledger.is_running(ledger.runners) OWNER TO opsledger_owner;

-- ledger.runner_text: who runs a task, for people.
CREATE OR REPLACE FUNCTION ledger.runner_text(runner ledger.runners) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s on %s (process %s, login %s)', runner.program, runner.host, runner.pid, runner.login)
$$;
ALTER FUNCTION ledger.runner_text(ledger.runners) OWNER TO opsledger_owner;

-- ledger.take_runner: takes a task that runs once at a time, unless another has it. Asked again with the same token it
-- answers the same.
--
-- Returns  whether it is taken; where not, who has it and since when.
-- Locks    the task's row. It waits a second at most for a runner in a transaction.
-- Used by  heartbeat, archive push and fork, retention apply. What it says of the caller is the caller's word, but
--          for the login.
CREATE OR REPLACE FUNCTION ledger.take_runner(
    task text, token uuid, host text, pid integer, program text, backend integer,
    OUT is_taken boolean, OUT holder text, OUT since timestamptz, OUT lease_seconds integer)
RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    other ledger.runners;
BEGIN
    lease_seconds := extract(epoch FROM ledger.runner_lease());
    -- What this transaction saw of sessions before may be out of date.
    PERFORM pg_stat_clear_snapshot();
    SELECT r.* INTO other FROM ledger.runners AS r WHERE r.task = take_runner.task;
    -- Without the lock first: whoever runs may be in a transaction.
    IF NOT ledger.is_running(other) OR other.token = take_runner.token THEN
        BEGIN
            INSERT INTO ledger.runners AS r
                (task, token, login, host, pid, program, backend, started_at, expires_at)
            VALUES (take_runner.task, take_runner.token, session_user, take_runner.host, take_runner.pid,
                take_runner.program, take_runner.backend, clock_timestamp(),
                clock_timestamp() + ledger.runner_lease())
            ON CONFLICT ON CONSTRAINT runners_pkey DO UPDATE SET
                token = excluded.token, login = excluded.login, host = excluded.host, pid = excluded.pid,
                program = excluded.program, backend = excluded.backend, started_at = excluded.started_at,
                expires_at = excluded.expires_at
            WHERE r.token = excluded.token OR NOT ledger.is_running(r);
            is_taken := FOUND;
        EXCEPTION WHEN lock_not_available THEN
            is_taken := false;
        END;
    ELSE
        is_taken := false;
    END IF;
    IF NOT is_taken THEN
        SELECT r.* INTO other FROM ledger.runners AS r WHERE r.task = take_runner.task;
        holder := ledger.runner_text(other);
        since := other.started_at;
    END IF;
END
$$;
ALTER FUNCTION ledger.take_runner(text, uuid, text, integer, text, integer) OWNER TO opsledger_owner;

-- ledger.renew_runner: prolongs a runner's lease, and refuses where the task is another's by now.
--
-- Locks    the runner's row, to the end of the transaction: nobody takes the task meanwhile.
-- Used by  each transaction of a runner that must not be recorded once the task is lost, and by a runner that does
--          something else for long.
CREATE OR REPLACE FUNCTION ledger.renew_runner(task text, token uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    holder text;
BEGIN
    UPDATE ledger.runners AS r SET expires_at = clock_timestamp() + ledger.runner_lease()
    WHERE r.task = renew_runner.task AND r.token = renew_runner.token;
    IF NOT FOUND THEN
        SELECT ledger.runner_text(r) INTO holder FROM ledger.runners AS r WHERE r.task = renew_runner.task;
        RAISE EXCEPTION 'OPS_012: this % is no longer the one that runs: %', task,
            coalesce(holder || ' took over', 'its row in ledger.runners is gone')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'It was not heard of for ' || extract(epoch FROM ledger.runner_lease())::integer
                    || ' s, or its session had ended. Start it again.';
    END IF;
END
$$;
ALTER FUNCTION ledger.renew_runner(text, uuid) OWNER TO opsledger_owner;

-- ledger.end_runner: gives a task back; another's stays.
CREATE OR REPLACE FUNCTION ledger.end_runner(task text, token uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM ledger.runners AS r WHERE r.task = end_runner.task AND r.token = end_runner.token;
END
$$;
ALTER FUNCTION ledger.end_runner(text, uuid) OWNER TO opsledger_owner;
