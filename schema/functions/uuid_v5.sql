-- ledger.uuid_v5: the id that a name has in a namespace (RFC 9562, section 5.5). In the namespace
-- 92b812ff-fcda-5ec4-a524-d529e92a7a52 `policy:<key>` and `ledger:main` are streams of rows without ids.
--
-- Returns  a UUID, the same for ever.
-- Locks    none.
-- Used by  ops_policy_history; capture. Written by format() because pgcrypto may live in any schema.
DO $do$ BEGIN
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION ledger.uuid_v5(namespace uuid, name text) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    -- The first 16 bytes of the digest, with version 5 in byte 6 and the variant in byte 8.
    SELECT encode(set_byte(set_byte(d.h, 6, get_byte(d.h, 6) & 15 | 80),
                           8, get_byte(d.h, 8) & 63 | 128), 'hex')::uuid
    FROM (SELECT substring(%I.digest(uuid_send(namespace) || convert_to(name, 'UTF8'), 'sha1'::text)
                           FROM 1 FOR 16)) AS d (h)
$$
    $create$, (SELECT e.extnamespace::regnamespace FROM pg_extension AS e
               WHERE e.extname = 'pgcrypto'));
END $do$;
ALTER FUNCTION ledger.uuid_v5(uuid, text) OWNER TO opsledger_owner;
