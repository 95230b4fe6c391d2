-- ledger.task_lease_duration: how long the lease of a task lasts without a renewal.
CREATE OR REPLACE FUNCTION ledger.task_lease_duration() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '30 seconds' $$;

-- ledger.is_running: whether a holder still has its task: neither its lease nor its session has ended.
--
-- A lease that ends too late comes from a clock that was ahead, and counts as ended. The session of a holder behind a
-- pooler is not known, and counts as open.
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

-- ledger.task_lease_text: describes the holder of a task, for messages.
CREATE OR REPLACE FUNCTION ledger.task_lease_text(lease ledger.task_leases) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s on %s (process %s, login %s)', lease.program, lease.host, lease.pid, lease.login)
$$;

-- ledger.lease_task: leases a task, unless it is leased already. A second call with the same token succeeds too.
--
-- Returns  whether the caller has the task; if not, the holder, and since when it has the task.
-- Locks    the task's row. It waits at most one second for a transaction of the holder.
-- Used by  heartbeat, archive push and fork, retention apply. Except for the login, the caller describes itself.
CREATE OR REPLACE FUNCTION ledger.lease_task(
    task text, token uuid, host text, pid integer, program text, backend integer,
    OUT is_taken boolean, OUT holder text, OUT since timestamptz, OUT lease_seconds integer)
RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    other ledger.task_leases;
BEGIN
    is_taken := false;
    lease_seconds := extract(epoch FROM ledger.task_lease_duration());
    -- This transaction may have an older snapshot of the sessions.
    PERFORM pg_stat_clear_snapshot();
    SELECT r.* INTO other FROM ledger.task_leases AS r WHERE r.task = lease_task.task;
    -- The first check takes no lock, because the holder may be in a transaction.
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
            NULL;
        END;
    END IF;
    IF NOT is_taken THEN
        SELECT r.* INTO other FROM ledger.task_leases AS r WHERE r.task = lease_task.task;
        holder := ledger.task_lease_text(other);
        since := other.started_at;
    END IF;
END
$$;

-- ledger.renew_task: renews the lease of a task, and raises an error if the caller has lost the task.
--
-- Locks    the task's row, to the end of the transaction: nobody else can lease the task meanwhile.
-- Used by  each transaction of a holder that must not record anything after it lost the task; and from time to time by
--          a holder whose work takes long.
CREATE OR REPLACE FUNCTION ledger.renew_task(task text, token uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    holder text;
BEGIN
    UPDATE ledger.task_leases AS r SET expires_at = clock_timestamp() + ledger.task_lease_duration()
    WHERE r.task = renew_task.task AND r.token = renew_task.token;
    IF NOT FOUND THEN
        SELECT ledger.task_lease_text(r) INTO holder FROM ledger.task_leases AS r WHERE r.task = renew_task.task;
        RAISE EXCEPTION 'OPS_012: this % has lost its lease: %', task,
            coalesce(holder || ' has the lease now', 'its row in ledger.task_leases is missing')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'It did not renew the lease for ' || extract(epoch FROM ledger.task_lease_duration())::integer
                    || ' s, or its database session ended. Start it again.';
    END IF;
END
$$;

-- ledger.end_task: ends the lease of a task, if it has this token.
CREATE OR REPLACE FUNCTION ledger.end_task(task text, token uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM ledger.task_leases AS r WHERE r.task = end_task.task AND r.token = end_task.token;
END
$$;
