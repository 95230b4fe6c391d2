-- ledger.confirmed_erasures: the rows of ledger.erasures that an `erased` event of the log stands for.
--
-- The table only says where to look: nothing is erased, and nothing counts as erased, by what the log does not say.
--
-- Returns  stream, and the entry that erased it last.
-- Locks    none.
-- Used by  erase_content, copies_of, push, restore: whatever acts on an erasure.
CREATE OR REPLACE FUNCTION ledger.confirmed_erasures() RETURNS TABLE (stream uuid, entry bigint)
LANGUAGE sql STABLE AS $$
    SELECT x.stream, x.entry FROM ledger.erasures AS x
    WHERE EXISTS (SELECT FROM ledger.events AS e
            WHERE e.entry = x.entry AND e.stream = x.stream AND e.type LIKE '%.erased')
        -- Whose event has left the database; drop_partition keeps a copy.
        OR EXISTS (SELECT FROM ledger.kept_events AS s
            WHERE s.entry = x.entry AND s.stream = x.stream AND s.type LIKE '%.erased')
$$;
ALTER FUNCTION ledger.confirmed_erasures() OWNER TO opsledger_owner;
