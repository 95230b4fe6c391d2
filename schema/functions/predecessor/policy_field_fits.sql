-- ledger.policy_field_fits: whether a field of a policy has a value of the expected kind. A missing field is
-- accepted, except the loop's state. So is null, except for a list, where it would look like an empty list.
CREATE OR REPLACE FUNCTION ledger.policy_field_fits(field jsonb, expected text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN expected = 'running or halted' THEN coalesce(field IN ('"running"', '"halted"'), false)
        WHEN field IS NULL THEN true
        WHEN expected = 'a list of texts' THEN jsonb_typeof(field) = 'array'
            AND NOT jsonb_path_exists(field, 'strict $[*] ? (@.type() != "string")', '{}', true)
        WHEN jsonb_typeof(field) = 'null' THEN true
        WHEN expected = 'true or false' THEN jsonb_typeof(field) = 'boolean'
        WHEN expected = 'one of low, medium, high' THEN field IN ('"low"', '"medium"', '"high"')
        WHEN expected = 'a whole number of 0 or more' THEN
            coalesce(ledger.json_whole(field) BETWEEN 0 AND 2147483647, false)
        WHEN expected = 'a number above 0 and below 1000000' THEN
            CASE jsonb_typeof(field) WHEN 'number' THEN
                field::text::numeric > 0 AND field::text::numeric < 1000000 ELSE false END
        WHEN jsonb_typeof(field) <> 'object' THEN false
        WHEN expected = 'an object of risks and whole numbers from 1 to 100' THEN NOT EXISTS (
            SELECT FROM jsonb_each(field) AS m (name, number)
            WHERE m.name NOT IN ('low', 'medium', 'high')
                OR coalesce(ledger.json_whole(m.number) NOT BETWEEN 1 AND 100, true))
        ELSE NOT EXISTS (  -- an object of sources and whole numbers of 0 or more
            SELECT FROM jsonb_each(field) AS m (name, number)
            WHERE m.name NOT IN ('api', 'trigger', 'reaction', 'manual')
                OR coalesce(ledger.json_whole(m.number) NOT BETWEEN 0 AND 2147483647, true))
        END
$$;
