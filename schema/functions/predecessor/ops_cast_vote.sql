-- ops_cast_vote: records a role's vote on a proposal, in place of its earlier vote, and decides the proposal if the
-- votes are enough. After the deadline the vote does not count, and the proposal waits for a person.
--
-- Returns  the result of ops_check_consensus.
-- Raises   as in the predecessor, 23503 if the proposal does not exist, 23514 and 23502 for an invalid vote. OPS_012 if
--          the proposal is not in a vote, OPS_013 if the role may not vote, OPS_019 for an invalid name of a role.
-- Locks    the proposal's row, so that concurrent votes are counted one after the other.
-- Used by  the predecessor's clients.
CREATE OR REPLACE FUNCTION public.ops_cast_vote(
    p_proposal_id uuid, p_agent_role text, p_vote text, p_reason text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
DECLARE
    proposal public.ops_mission_proposals;
    rules record;
    instant timestamptz;
BEGIN
    PERFORM ledger.require_read_committed('ops_cast_vote');
    PERFORM ledger.check_vote(p_agent_role, p_vote);
    SELECT p.* INTO proposal FROM public.ops_mission_proposals AS p WHERE p.id = p_proposal_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'OPS_011: there is no proposal %', p_proposal_id
            USING ERRCODE = 'foreign_key_violation', HINT = 'See `opsledger proposal list`.';
    ELSIF proposal.status <> 'voting' THEN
        RAISE EXCEPTION 'OPS_012: cannot vote on proposal %: its status is %', p_proposal_id, proposal.status
            USING HINT = 'See `opsledger proposal show ' || p_proposal_id || '`.';
    END IF;

    rules := ledger.vote_rules(proposal.policy_snapshot -> 'vote',
        coalesce(proposal.template ->> 'risk_level', 'medium'), proposal.created_at);
    PERFORM ledger.check_voter(p_agent_role, rules.voters, p_proposal_id);
    instant := ledger.now();
    IF instant <= rules.deadline THEN
        UPDATE public.ops_mission_proposals AS p
        SET votes = CASE jsonb_typeof(p.votes) WHEN 'object' THEN p.votes ELSE '{}' END
            || jsonb_build_object(p_agent_role, jsonb_build_object(
                'id', gen_random_uuid(), 'vote', p_vote, 'reason', p_reason, 'metadata', '{}'::jsonb,
                'created_at', ledger.time_text(instant)))
        WHERE p.id = p_proposal_id;
    END IF;
    RETURN public.ops_check_consensus(p_proposal_id);
END
$$;
ALTER FUNCTION public.ops_cast_vote(uuid, text, text, text) OWNER TO opsledger_owner;

-- Refuses an invalid vote, or an invalid name of a role.
CREATE OR REPLACE FUNCTION ledger.check_vote(role text, vote text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF role IS NULL OR vote IS NULL THEN
        RAISE EXCEPTION 'OPS_019: a vote needs a role, and a vote: approve, reject or abstain'
            USING ERRCODE = 'not_null_violation', HINT = 'The role or the vote is NULL: give both.';
    ELSIF vote NOT IN ('approve', 'reject', 'abstain') THEN
        RAISE EXCEPTION 'OPS_019: a vote is approve, reject or abstain, not %', vote
            USING ERRCODE = 'check_violation';
    ELSIF octet_length(role) NOT BETWEEN 1 AND 100 OR role ~ E'[\\x01-\\x1f\\x7f]' THEN
        RAISE EXCEPTION 'OPS_019: a role''s name has 1 to 100 bytes and no control characters; this one has % bytes',
            octet_length(role)
            USING ERRCODE = 'check_violation', HINT = 'The names are in `opsledger policy get agent_roles`.';
    END IF;
END
$$;

-- Refuses a role that may not vote on a proposal.
CREATE OR REPLACE FUNCTION ledger.check_voter(role text, voters text[], proposal uuid) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT role = ANY (voters) THEN
        RAISE EXCEPTION 'OPS_013: % may not vote on proposal %', role, proposal
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'Policies agent_roles and voting_policy named the roles when the vote was called: '
                    '`opsledger policy history agent_roles`.';
    END IF;
END
$$;
