-- ledger.confirmed_erasures: the rows of ledger.erasures that an `erased` event of the log confirms. Without that
-- event, nothing is erased, and nothing counts as erased.
--
-- Used by  erase_content, copies_of, push, restore.
CREATE OR REPLACE FUNCTION ledger.confirmed_erasures() RETURNS TABLE (stream uuid, entry bigint)
LANGUAGE sql STABLE AS $$
    SELECT x.stream, x.entry FROM ledger.erasures AS x
    WHERE EXISTS (SELECT FROM ledger.events AS e
            WHERE e.entry = x.entry AND e.stream = x.stream AND e.type LIKE '%.erased')
        -- If that event is archived, drop_partition has kept a copy.
        OR EXISTS (SELECT FROM ledger.kept_events AS s
            WHERE s.entry = x.entry AND s.stream = x.stream AND s.type LIKE '%.erased')
$$;
