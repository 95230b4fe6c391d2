-- ledger.vote_rules: the rules of the vote on a proposal. Voters are the roles whose votes count.
--
-- Returns  the rules that the proposal's row keeps since the vote began. A row that a manual change set to voting keeps
--          none. It gets the rules of policy voting_policy, with a deadline from `since` on. If that policy cannot be
--          read: two approvals, one hour, and a veto.
-- Used by  submit, ops_check_consensus, ops_cast_vote, write_vote.
CREATE OR REPLACE FUNCTION ledger.vote_rules(kept jsonb, risk text, since timestamptz,
    OUT threshold integer, OUT deadline timestamptz, OUT required_voters text[], OUT veto boolean,
    OUT voters text[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    policy jsonb;
BEGIN
    IF ledger.json_whole(kept -> 'threshold') BETWEEN -2147483648 AND 2147483647
        AND kept ->> 'deadline' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?Z$'
    THEN
        BEGIN
            deadline := (kept ->> 'deadline')::timestamptz;
            threshold := ledger.json_whole(kept -> 'threshold');
            required_voters := ledger.texts_of(kept -> 'required_voters');
            veto := coalesce((kept -> 'veto') <> 'false', true);
            voters := CASE jsonb_typeof(kept -> 'voters') WHEN 'array' THEN ledger.texts_of(kept -> 'voters')
                ELSE ledger.voters(required_voters) END;
            RETURN;
        EXCEPTION WHEN data_exception THEN
            NULL;  -- Such as February 31: the kept rules have no valid deadline.
        END;
    END IF;
    SELECT p.value INTO policy FROM public.ops_policy AS p WHERE p.key = 'voting_policy';
    IF ledger.policy_fault('voting_policy', policy) IS NOT NULL THEN
        policy := '{}';
    END IF;
    threshold := coalesce(ledger.json_whole(policy -> 'thresholds' -> risk), 2);
    deadline := since + make_interval(
        secs => coalesce((policy ->> 'deadline_minutes')::double precision, 60) * 60);
    required_voters := ledger.texts_of(policy -> 'required_voters');
    veto := coalesce((policy -> 'veto') <> 'false', true);
    voters := ledger.voters(required_voters);
END
$$;

-- The roles that may vote: those of policy agent_roles, and the required ones.
CREATE OR REPLACE FUNCTION ledger.voters(required text[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY(
        SELECT v.role COLLATE "C" FROM (
            SELECT unnest(required) AS role
            UNION SELECT r.key FROM public.ops_policy AS p,
                jsonb_each(CASE jsonb_typeof(p.value) WHEN 'object' THEN p.value ELSE '{}' END) AS r
            WHERE p.key = 'agent_roles'
                AND NOT jsonb_path_exists(p.value, 'strict $.* ? (@.type() != "object")', '{}', true)
        ) AS v ORDER BY 1)
$$;

-- The strings of a JSON array.
CREATE OR REPLACE FUNCTION ledger.texts_of(list jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY(
        SELECT t.item #>> '{}'
        FROM jsonb_array_elements(CASE jsonb_typeof(list) WHEN 'array' THEN list ELSE '[]' END)
            WITH ORDINALITY AS t (item, n)
        WHERE jsonb_typeof(t.item) = 'string' ORDER BY t.n)
$$;

-- A time in the form of events and of jsonb columns.
CREATE OR REPLACE FUNCTION ledger.time_text(instant timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;
