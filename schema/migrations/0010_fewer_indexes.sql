-- Indexes that each change of a row paid for and that no query needs whole, measured by `tools/bench`.
--
-- Steps of a mission are found by (mission_id, ordinal) as well. Of what is looked for by its status, few
-- rows are open or failed: what is done, succeeded or decided is most of each table, is counted and not
-- searched, and would enter its index once more at its end.
--
-- Locks    ACCESS EXCLUSIVE on the three tables while the indexes are made.
-- Used by  every change of a step, a reaction or a proposal; rebuild.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0010_fewer_indexes.sql') THEN
        RETURN;
    END IF;

    DROP INDEX public.ops_mission_steps_mission_idx;
    DROP INDEX public.ops_mission_steps_status_idx;
    CREATE INDEX ops_mission_steps_status_idx ON public.ops_mission_steps (status, reserved_at)
        WHERE status <> 'succeeded';
    DROP INDEX public.ops_agent_reactions_status_idx;
    CREATE INDEX ops_agent_reactions_status_idx ON public.ops_agent_reactions (status, created_at)
        WHERE status IN ('failed', 'processing');
    DROP INDEX public.ops_mission_proposals_status_idx;
    CREATE INDEX ops_mission_proposals_status_idx
        ON public.ops_mission_proposals (status, created_at DESC)
        WHERE status IN ('pending', 'voting');

    INSERT INTO ledger.migrations (name, oldest_binary)
    VALUES ('0010_fewer_indexes.sql', '0.1.0');
END $migration$;
