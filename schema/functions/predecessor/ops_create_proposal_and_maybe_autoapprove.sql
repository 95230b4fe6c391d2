-- ops_create_proposal_and_maybe_autoapprove: submits a proposal. The gate refuses it, or it is auto-approved, or it
-- waits for votes or for a person.
--
-- Returns  one row, with the columns in both spellings of the predecessor. If the dedupe key is taken, it writes
--          nothing, and returns the proposal that has the key, with its mission. For a proposal that waits, the reason
--          says why.
-- Raises   OPS_004 and OPS_005 for an invalid template, 23502 and 23514 for an invalid source. Nothing is written then.
-- Locks    the row of policy proposal_caps, so that concurrent proposals cannot exceed a cap; then the row that has the
--          key. The engine takes the same locks in this order.
-- Used by  the predecessor's clients.
CREATE OR REPLACE FUNCTION public.ops_create_proposal_and_maybe_autoapprove(
    p_dedupe_key text, p_source text, p_template jsonb)
RETURNS TABLE (
    r_proposal_id uuid, r_status public.ops_proposal_status, r_mission_id uuid, r_reason text,
    proposal_id uuid, status public.ops_proposal_status, mission_id uuid, reason text)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    PERFORM ledger.require_read_committed('ops_create_proposal_and_maybe_autoapprove');
    PERFORM ledger.template_steps(p_template);
    PERFORM FROM public.ops_policy AS p WHERE p.key = 'proposal_caps' FOR NO KEY UPDATE;
    LOOP
        SELECT p.id, p.status, m.id, p.reason INTO r_proposal_id, r_status, r_mission_id, r_reason
        FROM public.ops_mission_proposals AS p
        LEFT JOIN LATERAL (SELECT o.id FROM public.ops_missions AS o WHERE o.proposal_id = p.id
            ORDER BY o.created_at, o.id LIMIT 1) AS m ON true
        WHERE p.dedupe_key = p_dedupe_key FOR NO KEY UPDATE OF p;
        EXIT WHEN FOUND;
        BEGIN
            SELECT d.id, d.status, d.mission, d.reason
            INTO r_proposal_id, r_status, r_mission_id, r_reason
            FROM ledger.submit(p_dedupe_key, p_source, p_template) AS d;
            EXIT;
        EXCEPTION WHEN unique_violation THEN
            -- A manual change has inserted the key meanwhile, without the lock on the caps.
            PERFORM FROM public.ops_mission_proposals AS p WHERE p.dedupe_key = p_dedupe_key;
            IF NOT FOUND THEN
                RAISE;
            END IF;
        END;
    END LOOP;
    proposal_id := r_proposal_id;
    status := r_status;
    mission_id := r_mission_id;
    reason := r_reason;
    RETURN NEXT;
END
$$;
ALTER FUNCTION public.ops_create_proposal_and_maybe_autoapprove(text, text, jsonb)
    OWNER TO opsledger_owner;
