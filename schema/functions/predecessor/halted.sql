-- ledger.halted: whether the loop is halted. It also is if policy `loop` is missing or broken.
CREATE OR REPLACE FUNCTION ledger.halted() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce((
        SELECT ledger.policy_fault('loop', p.value) IS NOT NULL OR p.value ->> 'state' <> 'running'
        FROM public.ops_policy AS p WHERE p.key = 'loop'), true);
END
$$;
