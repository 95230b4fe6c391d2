-- Who runs what runs once at a time: a heartbeat, a push, a retention apply.
--
-- A row is a lease: it ends at expires_at, unless its runner renews it. The token is the fencing token, a new one each
-- time the task is taken: a runner that finds another's has lost the task, and what it would record is refused.
--
-- Locks    the row, for the time of the runner's transactions.
-- Used by  ledger.take_runner, renew_runner and end_runner, and nothing else writes it; status, doctor.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0023_runners.sql') THEN
        RETURN;
    END IF;

    CREATE TABLE ledger.runners (
        task text NOT NULL,
        token uuid NOT NULL,
        login text NOT NULL,
        host text NOT NULL,
        pid integer NOT NULL,     -- on that host
        program text NOT NULL,
        backend integer,          -- the server's process, which ends with the runner; null behind a pooler
        started_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT runners_pkey PRIMARY KEY (task),
        CONSTRAINT a_task_that_runs_once CHECK (task IN ('heartbeat', 'push', 'retention'))
    );
    ALTER TABLE ledger.runners OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0023_runners.sql', '0.1.0');
END $migration$;
