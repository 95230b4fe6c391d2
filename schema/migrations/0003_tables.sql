-- The tables whose rows the log determines: the eight projections, then ledger.ledger and ledger.holds.
--
-- The eight have the predecessor's columns, names, types and keys, followed by columns of opsledger. Of the
-- predecessor's indexes they have those that a query of opsledger uses, because every change of a row pays for each
-- index (`tools/bench`). Indexes by status leave out rows that are done, succeeded or decided. Those rows are most of
-- each table, and are counted, not searched.
--
-- Every table has `version`, the number of events in the row's stream. The default 0 means that a manual change inserts
-- the row. ops_policy had this column in the predecessor, and keeps its default 1. No trigger maintains `updated_at`:
-- the engine writes the time that the event has, so that replay gives the same row.
--
-- ops_missions.proposal_id is not unique. Decisions allow one mission for each proposal, under the lock of the
-- proposal's row. A manual change can insert a second mission. It is a fact then, and replay must accept it.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0003_tables.sql') THEN
        RETURN;
    END IF;

    CREATE TYPE public.ops_proposal_status AS ENUM
        ('pending', 'approved', 'rejected', 'auto_approved', 'voting');
    CREATE TYPE public.ops_mission_status AS ENUM ('approved', 'running', 'succeeded', 'failed');
    CREATE TYPE public.ops_step_status AS ENUM ('queued', 'running', 'succeeded', 'failed');
    CREATE TYPE public.ops_action_run_status AS ENUM ('started', 'succeeded', 'failed');

    CREATE TABLE public.ops_policy (
        key text NOT NULL,
        value jsonb NOT NULL DEFAULT '{}',
        version integer NOT NULL DEFAULT 1,
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT ops_policy_pkey PRIMARY KEY (key)
    );

    CREATE TABLE public.ops_mission_proposals (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        dedupe_key text,
        source text NOT NULL,
        status public.ops_proposal_status NOT NULL,
        template jsonb NOT NULL,
        reason text,
        policy_snapshot jsonb,
        approved_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        version integer NOT NULL DEFAULT 0,
        votes jsonb,  -- role -> {"id", "vote", "created_at", "reason", "metadata"}
        CONSTRAINT ops_mission_proposals_pkey PRIMARY KEY (id),
        CONSTRAINT ops_mission_proposals_dedupe_key_key UNIQUE (dedupe_key),
        CONSTRAINT ops_mission_proposals_source_check
            CHECK (source IN ('api', 'trigger', 'reaction', 'manual'))
    );
    CREATE INDEX ops_mission_proposals_status_idx
        ON public.ops_mission_proposals (status, created_at DESC)
        WHERE status IN ('pending', 'voting');
    -- For the daily cap.
    CREATE INDEX ops_mission_proposals_created_idx ON public.ops_mission_proposals (created_at);

    CREATE TABLE public.ops_missions (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        proposal_id uuid,
        status public.ops_mission_status NOT NULL,
        policy_snapshot jsonb,
        started_at timestamptz,
        completed_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        version integer NOT NULL DEFAULT 0,
        CONSTRAINT ops_missions_pkey PRIMARY KEY (id),
        CONSTRAINT ops_missions_proposal_id_fkey FOREIGN KEY (proposal_id)
            REFERENCES public.ops_mission_proposals (id) ON DELETE SET NULL
    );
    CREATE INDEX ops_missions_status_idx ON public.ops_missions (status, created_at DESC);
    CREATE INDEX ops_missions_proposal_idx ON public.ops_missions (proposal_id);

    CREATE TABLE public.ops_mission_steps (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        mission_id uuid NOT NULL,
        kind text NOT NULL,
        params jsonb NOT NULL DEFAULT '{}',
        status public.ops_step_status NOT NULL,
        executor text,
        reserved_at timestamptz,
        lease_expires_at timestamptz,
        failure_count integer NOT NULL DEFAULT 0,
        max_retries integer,
        last_error text,
        result jsonb,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        version integer NOT NULL DEFAULT 0,
        ordinal integer,         -- the position in the template, from 0
        needs integer[],         -- ordinals of the steps that must have succeeded
        not_before timestamptz,  -- backoff of a retry
        leased_by text,
        CONSTRAINT ops_mission_steps_pkey PRIMARY KEY (id),
        CONSTRAINT ops_mission_steps_mission_id_fkey FOREIGN KEY (mission_id)
            REFERENCES public.ops_missions (id) ON DELETE CASCADE
    );
    CREATE INDEX ops_mission_steps_status_idx ON public.ops_mission_steps (status, reserved_at)
        WHERE status <> 'succeeded';
    -- Also for all steps of a mission.
    CREATE INDEX ops_mission_steps_ordinal_idx ON public.ops_mission_steps (mission_id, ordinal);
    -- For expired leases.
    CREATE INDEX ops_mission_steps_running_idx
        ON public.ops_mission_steps (lease_expires_at) WHERE status = 'running';
    -- A claim looks for steps by executor and by the time since which they are due. It never reads steps that wait.
    -- Steps that wait for no other step and for no time:
    CREATE INDEX ops_mission_steps_ready_idx ON public.ops_mission_steps
        ((coalesce(executor, kind)), created_at, id)
        WHERE status = 'queued' AND coalesce(cardinality(needs), 0) = 0 AND not_before IS NULL;
    -- Steps that wait for a time:
    CREATE INDEX ops_mission_steps_delayed_idx ON public.ops_mission_steps
        ((coalesce(executor, kind)), not_before, id)
        WHERE status = 'queued' AND not_before IS NOT NULL;
    -- Steps that wait for other steps:
    CREATE INDEX ops_mission_steps_following_idx ON public.ops_mission_steps (mission_id, ordinal)
        WHERE status = 'queued' AND coalesce(cardinality(needs), 0) > 0;

    CREATE TABLE public.ops_agent_events (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        dedupe_key text,
        type text NOT NULL,
        data jsonb NOT NULL,
        mission_id uuid,
        processed_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        thought text,
        version integer NOT NULL DEFAULT 0,
        CONSTRAINT ops_agent_events_pkey PRIMARY KEY (id),
        CONSTRAINT ops_agent_events_dedupe_key_key UNIQUE (dedupe_key),
        CONSTRAINT ops_agent_events_mission_id_fkey FOREIGN KEY (mission_id)
            REFERENCES public.ops_missions (id) ON DELETE SET NULL
    );
    CREATE INDEX ops_agent_events_type_idx ON public.ops_agent_events (type, processed_at);
    CREATE INDEX ops_agent_events_mission_idx ON public.ops_agent_events (mission_id)
        WHERE mission_id IS NOT NULL;
    -- For the heartbeat's batch.
    CREATE INDEX ops_agent_events_unprocessed_idx
        ON public.ops_agent_events (created_at, id) WHERE processed_at IS NULL;

    CREATE TABLE public.ops_agent_reactions (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        event_id uuid,
        status text NOT NULL DEFAULT 'queued',
        payload jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        version integer NOT NULL DEFAULT 0,
        CONSTRAINT ops_agent_reactions_pkey PRIMARY KEY (id),
        CONSTRAINT ops_agent_reactions_event_id_fkey FOREIGN KEY (event_id)
            REFERENCES public.ops_agent_events (id) ON DELETE CASCADE,
        CONSTRAINT ops_agent_reactions_status_check
            CHECK (status IN ('queued', 'processing', 'done', 'failed'))
    );
    CREATE INDEX ops_agent_reactions_status_idx
        ON public.ops_agent_reactions (status, created_at) WHERE status IN ('failed', 'processing');
    -- For the last reaction of a pattern.
    CREATE INDEX ops_agent_reactions_pattern_idx
        ON public.ops_agent_reactions ((payload ->> 'pattern_id'), created_at);
    CREATE INDEX ops_agent_reactions_event_idx ON public.ops_agent_reactions (event_id);
    CREATE INDEX ops_agent_reactions_queued_idx
        ON public.ops_agent_reactions (created_at, id) WHERE status = 'queued';

    -- A run is inserted and updated once, and the update changes no indexed column. With room on the same page, the
    -- update needs no new index entries (HOT).
    CREATE TABLE public.ops_action_runs (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        run_id text,
        step_id uuid,
        executor text,
        status public.ops_action_run_status NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(),
        completed_at timestamptz,
        meta jsonb,
        error text,
        version integer NOT NULL DEFAULT 0,
        CONSTRAINT ops_action_runs_pkey PRIMARY KEY (id),
        CONSTRAINT ops_action_runs_run_id_key UNIQUE (run_id),
        CONSTRAINT ops_action_runs_step_id_fkey FOREIGN KEY (step_id)
            REFERENCES public.ops_mission_steps (id) ON DELETE SET NULL
    ) WITH (fillfactor = 50);
    CREATE INDEX ops_action_runs_step_idx ON public.ops_action_runs (step_id, started_at DESC);

    CREATE TABLE public.ops_demand_radar (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        title text NOT NULL,
        description text,
        stage text NOT NULL,
        notes text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        version integer NOT NULL DEFAULT 0,
        CONSTRAINT ops_demand_radar_pkey PRIMARY KEY (id),
        CONSTRAINT ops_demand_radar_stage_check
            CHECK (stage IN ('watching', 'validating', 'building', 'shipped'))
    );

    -- The tables' owner does not own the types: a type's owner may create a cast, which runs as the caller.
    ALTER TYPE public.ops_proposal_status OWNER TO opsledger_owner;
    ALTER TYPE public.ops_mission_status OWNER TO opsledger_owner;
    ALTER TYPE public.ops_step_status OWNER TO opsledger_owner;
    ALTER TYPE public.ops_action_run_status OWNER TO opsledger_owner;
    ALTER TABLE public.ops_policy OWNER TO opsledger_tables;
    ALTER TABLE public.ops_mission_proposals OWNER TO opsledger_tables;
    ALTER TABLE public.ops_missions OWNER TO opsledger_tables;
    ALTER TABLE public.ops_mission_steps OWNER TO opsledger_tables;
    ALTER TABLE public.ops_agent_events OWNER TO opsledger_tables;
    ALTER TABLE public.ops_agent_reactions OWNER TO opsledger_tables;
    ALTER TABLE public.ops_action_runs OWNER TO opsledger_tables;
    ALTER TABLE public.ops_demand_radar OWNER TO opsledger_tables;

    -- The row of the ledger itself: its identity and its name. Operators may not write this table or ledger.holds.
    CREATE TABLE ledger.ledger (
        key text NOT NULL,
        identity uuid NOT NULL,
        name text NOT NULL,
        version integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT ledger_pkey PRIMARY KEY (key)
    );

    -- Holds: orders to keep missions in the database, whatever the retention rule says.
    CREATE TABLE ledger.holds (
        id uuid NOT NULL,
        mission_id uuid,         -- this mission; no foreign key, since it may be archived already
        source text,             -- or: missions of which an agent event has this source, or that such an event led to
        from_time timestamptz,   -- or: missions that were open at any moment from here to until_time
        until_time timestamptz,
        why text,
        placed_by text NOT NULL,
        placed_at timestamptz NOT NULL,
        released_at timestamptz,
        version integer NOT NULL DEFAULT 0,
        CONSTRAINT holds_pkey PRIMARY KEY (id)
    );

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0003_tables.sql', '0.1.0');
END $migration$;
