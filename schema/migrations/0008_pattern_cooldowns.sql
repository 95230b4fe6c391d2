-- When a pattern last reacted: read for every batch of agent events, for each pattern that cools down. The
-- origin's index by pattern gets the time as well, and serves what it served.
--
-- Locks    SHARE on ops_agent_reactions while the index is made.
-- Used by  heartbeat.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0008_pattern_cooldowns.sql') THEN
        RETURN;
    END IF;

    DROP INDEX public.ops_agent_reactions_pattern_idx;
    CREATE INDEX ops_agent_reactions_pattern_idx
        ON public.ops_agent_reactions ((payload ->> 'pattern_id'), created_at);

    INSERT INTO ledger.migrations (name, oldest_binary)
    VALUES ('0008_pattern_cooldowns.sql', '0.1.0');
END $migration$;
