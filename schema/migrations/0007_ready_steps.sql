-- What a claim looks for, and who looks: steps that may run, by executor and by when they became due,
-- so that steps which wait (for another, for a time, for a paused executor) cost a claim nothing; and
-- the workers that are there.
--
-- Locks    SHARE on ops_mission_steps while its indexes are made.
-- Used by  claim, the waiting worker's look, worker list.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0007_ready_steps.sql') THEN
        RETURN;
    END IF;

    -- Steps that wait for no other and for no time.
    CREATE INDEX ops_mission_steps_ready_idx ON public.ops_mission_steps
        ((coalesce(executor, kind)), created_at, id)
        WHERE status = 'queued' AND coalesce(cardinality(needs), 0) = 0 AND not_before IS NULL;
    -- Steps that wait for a time.
    CREATE INDEX ops_mission_steps_delayed_idx ON public.ops_mission_steps
        ((coalesce(executor, kind)), not_before, id)
        WHERE status = 'queued' AND not_before IS NOT NULL;
    -- Steps that do.
    CREATE INDEX ops_mission_steps_following_idx ON public.ops_mission_steps (mission_id, ordinal)
        WHERE status = 'queued' AND coalesce(cardinality(needs), 0) > 0;
    DROP INDEX public.ops_mission_steps_queued_idx;

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

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0007_ready_steps.sql', '0.1.0');
END $migration$;
