-- ops_create_proposal_and_maybe_autoapprove: submits a proposal: gate, auto-approval, else a vote or a wait.
--
-- Returns  one row, its columns in both spellings that the origin had. Where the dedupe key is taken, the
--          proposal that has it as it now is, with its mission, and nothing is written. Where it waits,
--          the reason says for what. Raises OPS_004 and OPS_005, 23502 and 23514 for a source that is
--          none; then nothing is written.
-- Locks    the row of policy proposal_caps, so that no cap is passed, then the row that has the key; in
--          this order, like the engine.
-- Used by  the origin's clients.
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
            -- A hand was quicker with the key, and asked no gate: look who it was.
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
