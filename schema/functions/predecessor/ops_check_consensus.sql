-- ops_check_consensus: counts the votes on a proposal, and decides the proposal if the votes are enough.
--
-- Returns  {"status": "rejected", "reason": "veto"}, {"status": "approved", "approvals": n}, {"status": "voting",
--          "approvals": n, "threshold": t}, or {"status": "pending", …} after the deadline. For a proposal that is not
--          in a vote, its status; such a proposal does not change.
-- Raises   OPS_011 if the proposal does not exist.
-- Locks    the proposal's row.
-- Used by  the predecessor's clients; ops_cast_vote.
CREATE OR REPLACE FUNCTION public.ops_check_consensus(p_proposal_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
DECLARE
    instant CONSTANT timestamptz := ledger.now();
    proposal public.ops_mission_proposals;
    rules record;
    votes record;
BEGIN
    PERFORM ledger.require_read_committed('ops_check_consensus');
    SELECT p.* INTO proposal FROM public.ops_mission_proposals AS p WHERE p.id = p_proposal_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'OPS_011: there is no proposal %', p_proposal_id
            USING HINT = 'See `opsledger proposal list`.';
    END IF;
    rules := ledger.vote_rules(proposal.policy_snapshot -> 'vote',
        coalesce(proposal.template ->> 'risk_level', 'medium'), proposal.created_at);
    votes := ledger.count_votes(proposal.votes, rules.voters);
    IF proposal.status <> 'voting' THEN
        RETURN jsonb_build_object('status', proposal.status, 'approvals', cardinality(votes.approving));
    END IF;

    IF instant > rules.deadline THEN
        UPDATE public.ops_mission_proposals AS p SET status = 'pending' WHERE p.id = p_proposal_id;
        RETURN jsonb_build_object('status', 'pending', 'approvals', cardinality(votes.approving),
            'threshold', rules.threshold, 'reason', 'deadline');
    ELSIF rules.veto AND votes.against IS NOT NULL THEN
        UPDATE public.ops_mission_proposals AS p
        SET status = 'rejected', reason = 'vetoed by ' || votes.against
            || coalesce(': ' || votes.against_reason, '')
        WHERE p.id = p_proposal_id;
        RETURN jsonb_build_object('status', 'rejected', 'reason', 'veto');
    ELSIF cardinality(votes.approving) >= rules.threshold AND rules.required_voters <@ votes.cast_by
    THEN
        UPDATE public.ops_mission_proposals AS p
        SET status = 'approved', approved_at = instant,
            reason = 'voted for by ' || array_to_string(votes.approving, ', ')
        WHERE p.id = p_proposal_id;
        PERFORM public.ops_create_mission_from_proposal(p_proposal_id);
        RETURN jsonb_build_object('status', 'approved', 'approvals', cardinality(votes.approving));
    END IF;
    RETURN jsonb_build_object('status', 'voting', 'approvals', cardinality(votes.approving),
        'threshold', rules.threshold);
END
$$;
ALTER FUNCTION public.ops_check_consensus(uuid) OWNER TO opsledger_owner;

-- The votes of a proposal that count, in the order of the roles. It skips invalid votes that a manual change wrote, and
-- votes of roles that may not vote.
CREATE OR REPLACE FUNCTION ledger.count_votes(votes jsonb, voters text[],
    OUT cast_by text[], OUT approving text[], OUT against text, OUT against_reason text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ballot record;
BEGIN
    cast_by := '{}';
    approving := '{}';
    FOR ballot IN
        SELECT v.role, v.entry ->> 'vote' AS vote,
            CASE jsonb_typeof(v.entry -> 'reason') WHEN 'string' THEN v.entry ->> 'reason' END AS reason
        FROM jsonb_each(CASE jsonb_typeof(votes) WHEN 'object' THEN votes ELSE '{}' END)
            AS v (role, entry)
        WHERE v.entry -> 'vote' IN ('"approve"', '"reject"', '"abstain"') AND v.role = ANY (voters)
        ORDER BY v.role COLLATE "C"
    LOOP
        cast_by := cast_by || ballot.role;
        IF ballot.vote = 'approve' THEN
            approving := approving || ballot.role;
        ELSIF ballot.vote = 'reject' AND against IS NULL THEN
            against := ballot.role;
            against_reason := ballot.reason;
        END IF;
    END LOOP;
END
$$;
