-- ops_proposal_votes: the predecessor's table of votes, which opsledger keeps in the proposal's row. To write a vote
-- here is a manual change of that row.
--
-- An id or a time that cannot be read is NULL. A time is read as the first of its month, and then the days are added,
-- because a cast of February 30 would fail and hide all votes.
--
-- Rights   security_invoker: the caller's rights and row-level policies.
-- Used by  people and old clients.
CREATE OR REPLACE VIEW public.ops_proposal_votes WITH (security_invoker = true) AS
SELECT CASE WHEN v.vote ->> 'id' ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$'
        THEN (v.vote ->> 'id')::uuid END AS id,
    p.id AS proposal_id,
    v.role AS agent_role,
    v.vote ->> 'vote' AS vote,
    v.vote ->> 'reason' AS reason,
    v.vote -> 'metadata' AS metadata,
    CASE WHEN v.vote ->> 'created_at' ~ ('^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[T ]([01]\d|2[0-3])'
            '(:[0-5]\d){2}(\.\d{1,6})?(Z|[+-](0\d|1[0-4])(:?[0-5]\d)?)$')
        THEN overlay(v.vote ->> 'created_at' PLACING '01' FROM 9 FOR 2)::timestamptz
            + (substr(v.vote ->> 'created_at', 9, 2)::integer - 1) * interval '24 hours' END AS created_at
FROM public.ops_mission_proposals AS p
CROSS JOIN LATERAL jsonb_each(
    CASE jsonb_typeof(p.votes) WHEN 'object' THEN p.votes END) AS v (role, vote);
ALTER VIEW public.ops_proposal_votes ALTER COLUMN id SET DEFAULT gen_random_uuid();
ALTER VIEW public.ops_proposal_votes ALTER COLUMN metadata SET DEFAULT '{}';
ALTER VIEW public.ops_proposal_votes OWNER TO opsledger_tables;

CREATE OR REPLACE TRIGGER becomes_a_change INSTEAD OF INSERT OR UPDATE OR DELETE
ON public.ops_proposal_votes FOR EACH ROW EXECUTE FUNCTION ledger.write_vote();
