-- ops_proposal_votes: the origin's table of votes, which here are part of the proposal's row.
--
-- Returns  NULL for an id that a hand wrote and that is none.
-- Rights   security_invoker: the caller's, and the row-level policies that the caller is under.
-- Used by  hands and old clients. Writable: a vote by hand is a change of the proposal's row.
CREATE OR REPLACE VIEW public.ops_proposal_votes WITH (security_invoker = true) AS
SELECT CASE WHEN v.vote ->> 'id' ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$'
        THEN (v.vote ->> 'id')::uuid END AS id,
    p.id AS proposal_id,
    v.role AS agent_role,
    v.vote ->> 'vote' AS vote,
    v.vote ->> 'reason' AS reason,
    v.vote -> 'metadata' AS metadata,
    (v.vote ->> 'created_at')::timestamptz AS created_at
FROM public.ops_mission_proposals AS p
CROSS JOIN LATERAL jsonb_each(
    CASE jsonb_typeof(p.votes) WHEN 'object' THEN p.votes END) AS v (role, vote);
ALTER VIEW public.ops_proposal_votes ALTER COLUMN id SET DEFAULT gen_random_uuid();
ALTER VIEW public.ops_proposal_votes ALTER COLUMN metadata SET DEFAULT '{}';
ALTER VIEW public.ops_proposal_votes OWNER TO opsledger_tables;

CREATE OR REPLACE TRIGGER becomes_a_change INSTEAD OF INSERT OR UPDATE OR DELETE
ON public.ops_proposal_votes FOR EACH ROW EXECUTE FUNCTION ledger.write_vote();
