-- ledger.halted: whether the loop takes nothing new. Policy `loop`, absent or unreadable, says so too.
--
-- Returns  true or false.
-- Locks    none.
-- Used by  ops_claim_next_step.
CREATE OR REPLACE FUNCTION ledger.halted() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce((
        SELECT ledger.policy_fault('loop', p.value) IS NOT NULL OR p.value ->> 'state' <> 'running'
        FROM public.ops_policy AS p WHERE p.key = 'loop'), true);
END
$$;
ALTER FUNCTION ledger.halted() OWNER TO opsledger_owner;
