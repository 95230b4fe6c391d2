-- ledger.gate: whether the caps of this UTC day allow one more proposal.
--
-- Takes    the proposal's source, or null to check the daily limit only; and the id of a proposal that does not count.
-- Returns  ok; if it is false, a reason that begins with OPS_003. Refused proposals do not count. If policy
--          proposal_caps is broken or missing, the caps count as reached.
-- Locks    none. A caller that inserts a proposal afterwards has locked the row of policy proposal_caps.
-- Used by  ops_gate_proposal, ops_create_proposal_and_maybe_autoapprove.
CREATE OR REPLACE FUNCTION ledger.gate(
    proposal_source text, but_not uuid, OUT ok boolean, OUT reason text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    caps jsonb;
    fault text;
    daily_max bigint;
    source_max bigint;
    total bigint;
    of_source bigint;
    today_began CONSTANT timestamptz := date_trunc('day', ledger.now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
BEGIN
    ok := false;
    SELECT p.value INTO caps FROM public.ops_policy AS p WHERE p.key = 'proposal_caps';
    fault := ledger.policy_fault('proposal_caps', caps);
    IF caps IS NULL THEN
        reason := 'OPS_003: there is no policy proposal_caps, which counts as reached; '
            '`opsledger policy rollback` brings it back';
        RETURN;
    ELSIF fault IS NOT NULL THEN
        reason := 'OPS_003: proposal_caps counts as reached, since it is broken: ' || fault;
        RETURN;
    END IF;
    daily_max := nullif(ledger.json_whole(caps -> 'daily_limit'), 0);
    source_max := coalesce(ledger.json_whole(caps -> 'per_source_limits' -> proposal_source),
        ledger.json_whole(caps -> 'per_source' -> proposal_source));

    -- Counts no more proposals than the caps need.
    SELECT count(*), count(*) FILTER (WHERE today.source = proposal_source) INTO total, of_source
    FROM (
        SELECT p.source FROM public.ops_mission_proposals AS p
        WHERE p.created_at >= today_began AND p.created_at < today_began + interval '1 day'
            AND NOT coalesce(p.policy_snapshot ? 'gate_refused', false)
            AND p.id IS DISTINCT FROM but_not
        LIMIT coalesce(daily_max, CASE WHEN source_max IS NULL THEN 0 ELSE 1000000 END)
    ) AS today;
    IF total >= daily_max THEN
        reason := format('OPS_003: daily_limit of %s reached (%s today; resets at 00:00 UTC)',
            daily_max, total);
    ELSIF of_source >= source_max THEN
        reason := format('OPS_003: per_source.%s of %s reached (%s today; resets at 00:00 UTC)',
            proposal_source, source_max, of_source);
    ELSE
        ok := true;
    END IF;
END
$$;
