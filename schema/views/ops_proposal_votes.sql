-- ops_proposal_votes: the origin's table of votes, which here are part of the proposal's row.
--
-- Rights   security_invoker: the caller's, and the row-level policies that the caller is under.
-- Used by  hands and old clients, to read.
CREATE OR REPLACE VIEW public.ops_proposal_votes WITH (security_invoker = true) AS
SELECT (v.vote ->> 'id')::uuid AS id,
    p.id AS proposal_id,
    v.role AS agent_role,
    v.vote ->> 'vote' AS vote,
    v.vote ->> 'reason' AS reason,
    v.vote -> 'metadata' AS metadata,
    (v.vote ->> 'created_at')::timestamptz AS created_at
FROM public.ops_mission_proposals AS p
CROSS JOIN LATERAL jsonb_each(
    CASE jsonb_typeof(p.votes) WHEN 'object' THEN p.votes END) AS v (role, vote);
ALTER VIEW public.ops_proposal_votes OWNER TO opsledger_tables;
