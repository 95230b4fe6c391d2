-- ops_create_mission_from_proposal: creates the mission of an approved proposal, or returns the existing mission.
--
-- Raises   OPS_011 if the proposal does not exist, OPS_012 if it is not approved, OPS_004 and OPS_005 if its template
--          cannot run.
-- Locks    the proposal's row. Everybody who creates a mission takes this lock, so a proposal gets one mission only.
-- Used by  the predecessor's clients; submit, ops_check_consensus.
CREATE OR REPLACE FUNCTION public.ops_create_mission_from_proposal(p_proposal_id uuid) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
DECLARE
    proposal record;
    mission uuid;
    instant timestamptz;
BEGIN
    PERFORM ledger.require_read_committed('ops_create_mission_from_proposal');
    SELECT p.status, p.template, p.policy_snapshot INTO proposal
    FROM public.ops_mission_proposals AS p WHERE p.id = p_proposal_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'OPS_011: Proposal % not found', p_proposal_id
            USING HINT = 'See `opsledger proposal list`.';
    ELSIF proposal.status NOT IN ('approved', 'auto_approved') THEN
        RAISE EXCEPTION 'OPS_012: proposal % cannot have a mission yet: its status is %', p_proposal_id, proposal.status
            USING HINT = 'Approve it first: `opsledger proposal approve ' || p_proposal_id || ' --why …`.';
    END IF;
    SELECT m.id INTO mission FROM public.ops_missions AS m
    WHERE m.proposal_id = p_proposal_id ORDER BY m.created_at, m.id LIMIT 1;
    IF FOUND THEN
        RETURN mission;
    END IF;

    instant := ledger.now();
    INSERT INTO public.ops_missions (proposal_id, status, policy_snapshot, created_at, updated_at)
    VALUES (p_proposal_id, 'approved', proposal.policy_snapshot, instant, instant)
    RETURNING id INTO mission;
    INSERT INTO public.ops_mission_steps (mission_id, kind, params, status, executor, max_retries,
        ordinal, needs, created_at, updated_at)
    SELECT mission, t.kind, t.params, 'queued', t.executor, t.max_retries, t.ordinal, t.needs,
        instant, instant
    FROM ledger.template_steps(proposal.template) AS t;
    RETURN mission;
END
$$;
ALTER FUNCTION public.ops_create_mission_from_proposal(uuid) OWNER TO opsledger_owner;
