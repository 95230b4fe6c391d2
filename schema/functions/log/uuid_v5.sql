-- ledger.uuid_v5: the UUID of a name in a namespace (RFC 9562, section 5.5). Policies and the row of the ledger have no
-- ids; their streams are `policy:<key>` and `ledger:main` in namespace 92b812ff-fcda-5ec4-a524-d529e92a7a52.
CREATE OR REPLACE FUNCTION ledger.uuid_v5(namespace uuid, name text) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    digest bytea := ledger.sha1(uuid_send(namespace) || convert_to(name, 'UTF8'));
BEGIN
    -- The first 16 bytes of the digest, with version 5 in byte 6 and the variant in byte 8.
    digest := set_byte(digest, 6, get_byte(digest, 6) & 15 | 80);
    digest := set_byte(digest, 8, get_byte(digest, 8) & 63 | 128);
    RETURN encode(substring(digest FROM 1 FOR 16), 'hex')::uuid;
END
$$;

-- ledger.sha1: the SHA-1 digest (FIPS 180-4, section 6.1), 20 bytes. It takes 0.1 ms for each 64 bytes.
--
-- PostgreSQL has only newer digests. The extension pgcrypto has this one, but may be missing, or be in a schema that
-- the roles of opsledger may not use.
--
-- Used by  uuid_v5, with its settings: a SET would take longer than the call.
CREATE OR REPLACE FUNCTION ledger.sha1(message bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    word CONSTANT bigint := 4294967295;
    -- The message, a bit 1, zeros, and the message's length in bits, in whole blocks of 64 bytes.
    padded CONSTANT bytea := message || decode('80', 'hex')
        || decode(repeat('00', 63 - (length(message) + 8) % 64), 'hex') || int8send(8 * length(message)::bigint);
    h0 bigint := 1732584193;
    h1 bigint := 4023233417;
    h2 bigint := 2562383102;
    h3 bigint := 271733878;
    h4 bigint := 3285377520;
    a bigint;
    b bigint;
    c bigint;
    d bigint;
    e bigint;
    x bigint;
    w bigint[];
    at integer;
BEGIN
    FOR start IN 0 .. length(padded) - 64 BY 64 LOOP
        w := array_fill(0::bigint, ARRAY[80]);
        at := start;
        FOR t IN 1 .. 16 LOOP
            w[t] := get_byte(padded, at)::bigint * 16777216 + get_byte(padded, at + 1) * 65536
                + get_byte(padded, at + 2) * 256 + get_byte(padded, at + 3);
            at := at + 4;
        END LOOP;
        FOR t IN 17 .. 80 LOOP
            x := w[t - 3] # w[t - 8] # w[t - 14] # w[t - 16];
            w[t] := ((x << 1) | (x >> 31)) & word;
        END LOOP;
        a := h0;
        b := h1;
        c := h2;
        d := h3;
        e := h4;
        FOR t IN 1 .. 80 LOOP
            x := (((a << 5) | (a >> 27)) & word) + e + w[t] + CASE (t - 1) / 20
                WHEN 0 THEN ((b & c) | ((word # b) & d)) + 1518500249
                WHEN 1 THEN (b # c # d) + 1859775393
                WHEN 2 THEN ((b & c) | (b & d) | (c & d)) + 2400959708
                ELSE (b # c # d) + 3395469782 END;
            e := d;
            d := c;
            c := ((b << 30) | (b >> 2)) & word;
            b := a;
            a := x & word;
        END LOOP;
        h0 := h0 + a & word;
        h1 := h1 + b & word;
        h2 := h2 + c & word;
        h3 := h3 + d & word;
        h4 := h4 + e & word;
    END LOOP;
    RETURN substring(int8send(h0) FROM 5) || substring(int8send(h1) FROM 5) || substring(int8send(h2) FROM 5)
        || substring(int8send(h3) FROM 5) || substring(int8send(h4) FROM 5);
END
$$;
