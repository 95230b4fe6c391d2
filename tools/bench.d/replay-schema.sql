-- Where the SQL replay of a prefix goes: plain tables like the eight, without keys and indexes, and the log up to
-- the entry. Both connections of the replay find them before the live ones.
DROP SCHEMA IF EXISTS replay CASCADE;
CREATE SCHEMA replay;
CREATE VIEW replay.events AS SELECT e.* FROM ledger.events AS e WHERE e.entry <= :entry;
CREATE TABLE replay.ops_agent_events (LIKE public.ops_agent_events INCLUDING DEFAULTS);
CREATE TABLE replay.ops_agent_reactions (LIKE public.ops_agent_reactions INCLUDING DEFAULTS);
CREATE TABLE replay.ops_mission_proposals (LIKE public.ops_mission_proposals INCLUDING DEFAULTS);
CREATE TABLE replay.ops_missions (LIKE public.ops_missions INCLUDING DEFAULTS);
CREATE TABLE replay.ops_mission_steps (LIKE public.ops_mission_steps INCLUDING DEFAULTS);
CREATE TABLE replay.ops_action_runs (LIKE public.ops_action_runs INCLUDING DEFAULTS);
CREATE TABLE replay.ops_policy (LIKE public.ops_policy INCLUDING DEFAULTS);
CREATE TABLE replay.ops_demand_radar (LIKE public.ops_demand_radar INCLUDING DEFAULTS);
