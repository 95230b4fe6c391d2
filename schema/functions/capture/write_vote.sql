-- ledger.write_vote: the trigger of the view ops_proposal_votes. A vote that is written there becomes a manual change
-- of the proposal's votes.
--
-- Raises   the errors of the predecessor's table: 23503 if the proposal does not exist, 23505 if the role has voted
--          already, 23514 and 23502 for an invalid vote. OPS_013 if the role may not vote.
-- Locks    the proposal's row.
-- Rights   the caller's: a role that may update the proposal may write its votes.
CREATE OR REPLACE FUNCTION ledger.write_vote() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    proposal record;
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        UPDATE public.ops_mission_proposals AS p SET votes = p.votes - OLD.agent_role
        WHERE p.id = OLD.proposal_id AND (TG_OP = 'DELETE'
            OR NEW.proposal_id IS DISTINCT FROM p.id OR NEW.agent_role IS DISTINCT FROM OLD.agent_role);
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
    END IF;
    PERFORM ledger.check_vote(NEW.agent_role, NEW.vote);
    NEW.id := coalesce(NEW.id, gen_random_uuid());
    NEW.created_at := coalesce(NEW.created_at, ledger.now());
    SELECT CASE jsonb_typeof(p.votes) WHEN 'object' THEN p.votes ELSE '{}' END AS votes, p.policy_snapshot,
        coalesce(p.template ->> 'risk_level', 'medium') AS risk, p.created_at INTO proposal
    FROM public.ops_mission_proposals AS p WHERE p.id = NEW.proposal_id FOR NO KEY UPDATE;
    IF NEW.proposal_id IS NULL THEN
        RAISE EXCEPTION 'a vote needs a proposal_id, which is NULL here'
            USING ERRCODE = 'not_null_violation', HINT = 'See `opsledger proposal list`.';
    ELSIF proposal.votes IS NULL THEN
        RAISE EXCEPTION 'OPS_011: there is no proposal %', NEW.proposal_id
            USING ERRCODE = 'foreign_key_violation', HINT = 'See `opsledger proposal list`.';
    ELSIF proposal.votes ? NEW.agent_role AND (TG_OP = 'INSERT' OR NEW.proposal_id <> OLD.proposal_id
        OR NEW.agent_role <> OLD.agent_role)
    THEN
        RAISE EXCEPTION 'OPS_012: % has already voted on proposal %', NEW.agent_role, NEW.proposal_id
            USING ERRCODE = 'unique_violation', HINT = 'To change the vote, use UPDATE or ops_cast_vote.';
    END IF;
    PERFORM ledger.check_voter(NEW.agent_role, (ledger.vote_rules(
        proposal.policy_snapshot -> 'vote', proposal.risk, proposal.created_at)).voters, NEW.proposal_id);
    UPDATE public.ops_mission_proposals AS p
    SET votes = proposal.votes || jsonb_build_object(NEW.agent_role, jsonb_build_object(
        'id', NEW.id, 'vote', NEW.vote, 'reason', NEW.reason, 'metadata', NEW.metadata,
        'created_at', ledger.time_text(NEW.created_at)))
    WHERE p.id = NEW.proposal_id;
    RETURN NEW;
END
$$;
