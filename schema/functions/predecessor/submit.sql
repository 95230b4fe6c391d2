-- ledger.submit: writes a proposal with a valid template and a free dedupe key.
--
-- Returns  the proposal's id and status, its mission, and the reason for the status. A proposal that the gate refuses
--          gets no dedupe key, so that the same work can be proposed again tomorrow.
-- Locks    none. The caller has locked the row of policy proposal_caps.
-- Used by  ops_create_proposal_and_maybe_autoapprove.
CREATE OR REPLACE FUNCTION ledger.submit(dedupe_key text, proposal_source text, template jsonb,
    OUT id uuid, OUT status public.ops_proposal_status, OUT mission uuid, OUT reason text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    instant CONSTANT timestamptz := ledger.now();
    risk CONSTANT text := coalesce(template ->> 'risk_level', 'medium');
    gate CONSTANT record := ledger.gate(proposal_source, NULL);
    snapshot jsonb;
    voting jsonb;
    rules record;
BEGIN
    SELECT coalesce(jsonb_object_agg(p.key, p.version), '{}') INTO snapshot FROM public.ops_policy AS p
    WHERE p.key IN ('auto_approve', 'proposal_caps', 'voting_policy');
    IF NOT gate.ok THEN
        INSERT INTO public.ops_mission_proposals AS n
            (source, status, template, reason, policy_snapshot, created_at)
        VALUES (proposal_source, 'rejected', template, gate.reason,
            snapshot || '{"gate_refused": true}', instant)
        RETURNING n.id INTO id;
        status := 'rejected';
        reason := gate.reason;
        RETURN;
    END IF;

    reason := ledger.auto_approval_refusal(template);
    SELECT p.value INTO voting FROM public.ops_policy AS p WHERE p.key = 'voting_policy';
    status := CASE
        WHEN reason IS NULL THEN 'auto_approved'
        WHEN risk <> 'low' AND (voting -> 'enabled') = 'true'
            AND ledger.policy_fault('voting_policy', voting) IS NULL THEN 'voting'
        ELSE 'pending' END;
    IF status = 'voting' THEN
        rules := ledger.vote_rules(NULL, risk, instant);
        snapshot := snapshot || jsonb_build_object('vote', jsonb_build_object(
            'threshold', rules.threshold, 'deadline', ledger.time_text(rules.deadline),
            'required_voters', rules.required_voters, 'veto', rules.veto, 'voters', rules.voters));
    END IF;
    INSERT INTO public.ops_mission_proposals AS n
        (dedupe_key, source, status, template, policy_snapshot, approved_at, created_at, votes)
    VALUES (submit.dedupe_key, proposal_source, status, template, snapshot,
        CASE WHEN status = 'auto_approved' THEN instant END, instant,
        CASE WHEN status = 'voting' THEN '{}'::jsonb END)
    RETURNING n.id INTO id;

    IF status = 'auto_approved' THEN
        mission := public.ops_create_mission_from_proposal(id);
    ELSIF status = 'voting' THEN
        PERFORM ledger.report_outcome('proposal:vote_requested',
            jsonb_build_object('proposal_id', id, 'risk_level', risk),
            format('%s:vote_requested', id), NULL);
    END IF;
END
$$;
