-- ledger.task_lease_duration: how long a task is a runner's that no longer renews it.
CREATE OR REPLACE FUNCTION ledger.task_lease_duration() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '30 seconds' $$;
ALTER FUNCTION ledger.task_lease_duration() OWNER TO opsledger_owner;

-- ledger.is_running: whether a runner still has its task: its lease has not ended, and neither has its session.
--
-- A lease that ends later than any can is of a clock that was ahead. Sessions behind a pooler are not known.
CREATE OR REPLACE FUNCTION ledger.is_running(lease ledger.task_leases) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF lease.expires_at > now AND lease.expires_at <= now + ledger.task_lease_duration() THEN
        RETURN lease.backend IS NULL OR EXISTS (SELECT FROM pg_stat_get_activity(lease.backend));
    END IF;
    RETURN false;
END
$$;
ALTER FUNCTION ledger.is_running(ledger.task_leases) OWNER TO opsledger_owner;

-- ledger.task_lease_text: who runs a task, for people.
CREATE OR REPLACE FUNCTION ledger.task_lease_text(lease ledger.task_leases) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s on %s (process %s, login %s)', lease.program, lease.host, lease.pid, lease.login)
$$;
ALTER FUNCTION ledger.task_lease_text(ledger.task_leases) OWNER TO opsledger_owner;

-- ledger.lease_task: takes a task that runs once at a time, unless another has it. Asked again with the same token it
-- answers the same.
--
-- Returns  whether it is taken; where not, who has it and since when.
-- Locks    the task's row. It waits a second at most for a runner in a transaction.
-- Used by  heartbeat, archive push and fork, retention apply. What it says of the caller is the caller's word, but
--          for the login.
CREATE OR REPLACE FUNCTION ledger.lease_task(
    task text, token uuid, host text, pid integer, program text, backend integer,
    OUT is_taken boolean, OUT holder text, OUT since timestamptz, OUT lease_seconds integer)
RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    other ledger.task_leases;
BEGIN
    lease_seconds := extract(epoch FROM ledger.task_lease_duration());
    -- What this transaction saw of sessions before may be out of date.
    PERFORM pg_stat_clear_snapshot();
    SELECT r.* INTO other FROM ledger.task_leases AS r WHERE r.task = lease_task.task;
    -- Without the lock first: whoever runs may be in a transaction.
    IF NOT ledger.is_running(other) OR other.token = lease_task.token THEN
        BEGIN
            INSERT INTO ledger.task_leases AS r
                (task, token, login, host, pid, program, backend, started_at, expires_at)
            VALUES (lease_task.task, lease_task.token, session_user, lease_task.host, lease_task.pid,
                lease_task.program, lease_task.backend, clock_timestamp(),
                clock_timestamp() + ledger.task_lease_duration())
            ON CONFLICT ON CONSTRAINT task_leases_pkey DO UPDATE SET
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
        SELECT r.* INTO other FROM ledger.task_leases AS r WHERE r.task = lease_task.task;
        holder := ledger.task_lease_text(other);
        since := other.started_at;
    END IF;
END
$$;
ALTER FUNCTION ledger.lease_task(text, uuid, text, integer, text, integer) OWNER TO opsledger_owner;

-- ledger.renew_task: prolongs a runner's lease, and refuses where the task is another's by now.
--
-- Locks    the runner's row, to the end of the transaction: nobody takes the task meanwhile.
-- Used by  each transaction of a runner that must not be recorded once the task is lost, and by a runner that does
--          something else for long.
CREATE OR REPLACE FUNCTION ledger.renew_task(task text, token uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    holder text;
BEGIN
    UPDATE ledger.task_leases AS r SET expires_at = clock_timestamp() + ledger.task_lease_duration()
    WHERE r.task = renew_task.task AND r.token = renew_task.token;
    IF NOT FOUND THEN
        SELECT ledger.task_lease_text(r) INTO holder FROM ledger.task_leases AS r WHERE r.task = renew_task.task;
        RAISE EXCEPTION 'OPS_012: this % is no longer the one that runs: %', task,
            coalesce(holder || ' took over', 'its row in ledger.task_leases is gone')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'It was not heard of for ' || extract(epoch FROM ledger.task_lease_duration())::integer
                    || ' s, or its session had ended. Start it again.';
    END IF;
END
$$;
ALTER FUNCTION ledger.renew_task(text, uuid) OWNER TO opsledger_owner;

-- ledger.end_task: gives a task back; another's stays.
CREATE OR REPLACE FUNCTION ledger.end_task(task text, token uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM ledger.task_leases AS r WHERE r.task = end_task.task AND r.token = end_task.token;
END
$$;
ALTER FUNCTION ledger.end_task(text, uuid) OWNER TO opsledger_owner;
