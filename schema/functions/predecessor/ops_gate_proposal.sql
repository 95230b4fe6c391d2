-- ops_gate_proposal: whether the gate would accept a proposal now. A later insert can still be refused.
--
-- Takes    a template, which has no source, so only the daily limit is checked; or the id of a proposal, which is not
--          counted itself, and whose source's limit is checked too.
-- Returns  one row: ok; if it is false, a reason that begins with OPS_003. For a null id, as the runbook's query gives
--          if no proposal is pending, ok is null.
-- Raises   OPS_011 if the proposal does not exist.
-- Used by  the predecessor's clients; the runbook, with a proposal's id.
CREATE OR REPLACE FUNCTION public.ops_gate_proposal(p_template jsonb)
RETURNS TABLE (ok boolean, reason text)
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
    SELECT g.ok, g.reason FROM ledger.gate(NULL, NULL) AS g
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
        RAISE EXCEPTION 'OPS_011: Proposal % not found', p_proposal_id
            USING HINT = 'See `opsledger proposal list`.';
    END IF;
    RETURN QUERY SELECT g.ok, g.reason FROM ledger.gate(proposal_source, p_proposal_id) AS g;
END
$$;
ALTER FUNCTION public.ops_gate_proposal(uuid) OWNER TO opsledger_owner;
