-- ops_gate_proposal: whether the gate would let a proposal through now.
--
-- Returns  one row: ok, and where it is not the reason, which begins OPS_003. A template names no source, so
--          of one the daily limit is asked alone; of a proposal that is there, its source's too, and
--          without itself. No proposal (a null id, as the runbook's query gives where none is pending) is
--          neither; one that does not exist raises OPS_011.
-- Locks    none: it promises nothing to who inserts later.
-- Used by  the origin's clients; the runbook, by a proposal's id.
CREATE OR REPLACE FUNCTION public.ops_gate_proposal(p_template jsonb)
RETURNS TABLE (ok boolean, reason text)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT g.ok, g.reason FROM ledger.gate(NULL, NULL) AS g;
END
$$;
ALTER FUNCTION public.ops_gate_proposal(jsonb) OWNER TO opsledger_owner;

CREATE OR REPLACE FUNCTION public.ops_gate_proposal(p_proposal_id uuid)
RETURNS TABLE (ok boolean, reason text)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    proposal_source text;
BEGIN
    IF p_proposal_id IS NULL THEN
        RETURN QUERY SELECT NULL::boolean, 'there is no proposal to ask about'::text;
        RETURN;
    END IF;
    SELECT p.source INTO proposal_source FROM public.ops_mission_proposals AS p
    WHERE p.id = p_proposal_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'OPS_011: Proposal % not found', p_proposal_id;
    END IF;
    RETURN QUERY SELECT g.ok, g.reason FROM ledger.gate(proposal_source, p_proposal_id) AS g;
END
$$;
ALTER FUNCTION public.ops_gate_proposal(uuid) OWNER TO opsledger_owner;
