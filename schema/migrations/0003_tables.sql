-- The tables of rows that fold from events: the eight that operators know, then the ledger's own two.
--
-- The eight have the origin's columns, names, types and keys, then ours. Their indexes are the origin's as far as a
-- query of ours needs them: each is paid for by every change of a row (`tools/bench`). Indexes by status leave out what
-- is done, succeeded or decided: that is most of each table, and it is counted, not searched.
--
-- Every table has `version`: how many events its row's stream has. 0, the default, means "written by
-- hand"; ops_policy had the column before us, and keeps the origin's 1. Nothing here maintains
-- `updated_at`: the engine writes what the event says, so that replay gives the same row.
--
-- Not unique on purpose: ops_missions.proposal_id. One mission a proposal is a rule of decisions,
-- kept by the lock on the proposal's row. Hands and the origin's functions may make a second one;
-- that is then a fact, and a constraint would stop it from being replayed.
--
-- Locks    none that others wait for.
-- Used by  everything.

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
    -- The daily cap.
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
        ordinal integer,         -- 0… within the mission, the template's order
        needs integer[],         -- ordinals of the steps that must have succeeded
        not_before timestamptz,  -- backoff of a retry
        leased_by text,
        CONSTRAINT ops_mission_steps_pkey PRIMARY KEY (id),
        CONSTRAINT ops_mission_steps_mission_id_fkey FOREIGN KEY (mission_id)
            REFERENCES public.ops_missions (id) ON DELETE CASCADE
    );
    CREATE INDEX ops_mission_steps_status_idx ON public.ops_mission_steps (status, reserved_at)
        WHERE status <> 'succeeded';
    -- Also: the steps of a mission.
    CREATE INDEX ops_mission_steps_ordinal_idx ON public.ops_mission_steps (mission_id, ordinal);
    -- Expired leases.
    CREATE INDEX ops_mission_steps_running_idx
        ON public.ops_mission_steps (lease_expires_at) WHERE status = 'running';
    -- The claim looks for steps by executor and by when they became due, so that steps which wait cost it nothing.
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
    -- The heartbeat's batch.
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
    -- When a pattern last reacted.
    CREATE INDEX ops_agent_reactions_pattern_idx
        ON public.ops_agent_reactions ((payload ->> 'pattern_id'), created_at);
    CREATE INDEX ops_agent_reactions_event_idx ON public.ops_agent_reactions (event_id);
    CREATE INDEX ops_agent_reactions_queued_idx
        ON public.ops_agent_reactions (created_at, id) WHERE status = 'queued';

    -- A run is written twice, and none of its changes touches an indexed column. With room on its page, its second
    -- version is found by the index entries of its first.
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

    -- Not the tables' owner's: who owns a type may lay a cast of it, which runs as whoever casts.
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

    -- The ledger's own row: who it is and what it is called. No SQL of operators writes it, nor holds.
    CREATE TABLE ledger.ledger (
        key text NOT NULL,
        identity uuid NOT NULL,
        name text NOT NULL,
        version integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT ledger_pkey PRIMARY KEY (key)
    );
    ALTER TABLE ledger.ledger OWNER TO opsledger_owner;

    -- Holds: what must not leave, whatever the retention rule says.
    CREATE TABLE ledger.holds (
        id uuid NOT NULL,
        mission_id uuid,  -- one mission; no foreign key, since it may be archived already
        source text,      -- or: an agent event of this source led to it, or is its own
        from_time timestamptz,   -- or: it was open at any moment of this time
        until_time timestamptz,
        why text,
        placed_by text NOT NULL,
        placed_at timestamptz NOT NULL,
        released_at timestamptz,
        version integer NOT NULL DEFAULT 0,
        CONSTRAINT holds_pkey PRIMARY KEY (id)
    );
    ALTER TABLE ledger.holds OWNER TO opsledger_owner;

    INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('0003_tables.sql', '0.1.0');
END $migration$;
