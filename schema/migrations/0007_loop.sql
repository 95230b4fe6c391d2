-- The workers, the leases of tasks, and the quarantined rows.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0007_loop.sql') THEN
        RETURN;
    END IF;

    -- The workers that run now. Each worker writes its row again after a crash of the server.
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

    -- The leases of tasks that run once at a time. A lease ends at expires_at, unless its holder renews it. The token
    -- is the fencing token, a new one each time the task is leased: a holder that finds another token has lost the
    -- task, and records nothing more. Only ledger.lease_task, renew_task and end_task write this table.
    CREATE TABLE ledger.task_leases (
        task text NOT NULL,
        token uuid NOT NULL,
        login text NOT NULL,
        host text NOT NULL,
        pid integer NOT NULL,     -- on that host
        program text NOT NULL,
        backend integer,          -- the server's process of the holder's session; null behind a pooler
        started_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT task_leases_pkey PRIMARY KEY (task),
        CONSTRAINT a_task_that_runs_once CHECK (task IN ('heartbeat', 'push', 'retention'))
    );

    -- Quarantined rows: the loop cannot process them, or the database refuses the result. Only status and doctor read
    -- the table. It is logged, so that they can also read it on a standby.
    CREATE TABLE ledger.quarantine (
        name text NOT NULL,    -- heartbeat, or the name of the worker that skips the row
        stream uuid NOT NULL,
        row_type text NOT NULL,
        why text NOT NULL,
        since timestamptz NOT NULL,
        seen_at timestamptz NOT NULL,
        CONSTRAINT quarantine_pkey PRIMARY KEY (name, stream)
    );

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0007_loop.sql', '0.1.0');
END $migration$;
