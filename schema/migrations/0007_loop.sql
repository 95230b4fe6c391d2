-- Who runs, and what the loop passes over.
--
-- Locks    the row of a runner, for the time of the runner's transactions.
-- Used by  heartbeat, worker, push, retention apply; status, doctor.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0007_loop.sql') THEN
        RETURN;
    END IF;

    -- Presence, no history: what a crash of the server loses, each worker writes again.
    CREATE UNLOGGED TABLE ledger.workers (
        name text NOT NULL,
        host text NOT NULL,
        pid integer NOT NULL,
        watches boolean NOT NULL,
        concurrency integer NOT NULL,
        running integer NOT NULL,
        claimed bigint NOT NULL,
        started_at timestamptz NOT NULL,
        seen_at timestamptz NOT NULL,
        CONSTRAINT workers_pkey PRIMARY KEY (name)
    );
    ALTER TABLE ledger.workers OWNER TO opsledger_owner;

    -- Who runs a task that runs once at a time. A row is a lease: it ends at expires_at, unless its runner renews it. The
    -- token is the fencing token, a new one each time the task is taken: a runner that finds another token has lost the
    -- task, and what it would record is refused. Only ledger.lease_task, renew_task and end_task write it.
    CREATE TABLE ledger.task_leases (
        task text NOT NULL,
        token uuid NOT NULL,
        login text NOT NULL,
        host text NOT NULL,
        pid integer NOT NULL,     -- on that host
        program text NOT NULL,
        backend integer,          -- the server's process, which ends with the runner; null behind a pooler
        started_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT task_leases_pkey PRIMARY KEY (task),
        CONSTRAINT a_task_that_runs_once CHECK (task IN ('heartbeat', 'push', 'retention'))
    );
    ALTER TABLE ledger.task_leases OWNER TO opsledger_owner;

    -- The rows that the loop passes over: they cannot be decided over, or the database refuses what would come of them.
    -- status and doctor show it; nothing else reads it.
    -- Not unlogged: a standby's status and doctor say it too.
    CREATE TABLE ledger.quarantine (
        name text NOT NULL,    -- who passes it over: heartbeat, or a worker's name
        stream uuid NOT NULL,
        row_type text NOT NULL,
        why text NOT NULL,
        since timestamptz NOT NULL,
        seen_at timestamptz NOT NULL,
        CONSTRAINT quarantine_pkey PRIMARY KEY (name, stream)
    );
    ALTER TABLE ledger.quarantine OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0007_loop.sql', '0.1.0');
END $migration$;
