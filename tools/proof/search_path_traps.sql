-- Lays a trap for every name that a statement could mean instead of PostgreSQL's own: of each function and operator of
-- pg_catalog, one in schema public whose types fit a call better. PostgreSQL prefers an exact match to one by a
-- polymorphic parameter (unnest(anyarray)) or an implicit cast (name to text), whatever schema it is in.
--
-- Run by tools/proof/search-path as a login without rights, in a database where PUBLIC may create in public. Says how many
-- there are.
SET client_min_messages = error;
SET search_path = pg_catalog, pg_temp;
CREATE TEMP TABLE types (type text, of_arrays boolean);
INSERT INTO types SELECT format_type(t.oid, NULL), t.typelem <> 0 AND t.typsubscript = 'array_subscript_handler'::regproc
FROM pg_type AS t
WHERE t.oid = ANY ('{bool,bytea,"\"char\"",name,int8,int2,int4,text,oid,json,jsonb,varchar,timestamp,timestamptz,date,
        interval,numeric,float8,uuid,xid,xid8,regclass,regtype,regproc,regprocedure,regrole,regnamespace,pg_lsn}'::regtype[])
    OR t.oid = ANY ('{text[],name[],int4[],int2[],int8[],uuid[],bytea[],bool[],jsonb[],json[],timestamptz[],oid[],"\"char\"[]",
        regclass[]}'::regtype[])
    -- Enums of a ledger, once there are any.
    OR t.typtype = 'e' AND t.typnamespace = 'public'::regnamespace;

CREATE TEMP TABLE signatures AS
WITH own AS (
    SELECT p.oid, p.proname, p.provariadic <> 0 AS is_variadic,
        ARRAY(SELECT a.type::regtype::text FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, n) ORDER BY a.n) AS args
    FROM pg_proc AS p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.pronargs BETWEEN 1 AND 4
      AND NOT p.proargtypes::oid[] && '{internal,cstring,trigger,event_trigger,language_handler,fdw_handler,index_am_handler,
          table_am_handler,tsm_handler}'::regtype[]::oid[]
), poly AS (
    SELECT DISTINCT o.proname, ARRAY(
        SELECT CASE
            WHEN a IN ('anyelement', 'anynonarray', 'anyenum', 'anycompatible', 'anycompatiblenonarray', '"any"') THEN t.type
            WHEN a IN ('anyarray', 'anycompatiblearray') THEN CASE WHEN t.of_arrays THEN NULL ELSE t.type || '[]' END
            ELSE a END
        FROM unnest(o.args) WITH ORDINALITY AS u (a, n) ORDER BY u.n) AS args
    FROM own AS o, types AS t
    WHERE o.args && '{anyelement,anynonarray,anyenum,anycompatible,anycompatiblenonarray,anyarray,anycompatiblearray,"\"any\""}'
), spread AS (
    -- format('%s', name), concat(text, integer, text) and the like.
    SELECT o.proname, CASE WHEN o.args[1] = '"any"' THEN v.args ELSE o.args[1] || v.args END AS args
    FROM own AS o, LATERAL (
        SELECT ARRAY[a.type] AS args FROM types AS a
        UNION ALL SELECT ARRAY[a.type, b.type] FROM types AS a, types AS b
            WHERE a.type IN ('text', 'name', 'bigint', 'regclass') AND b.type IN ('text', 'name', 'bigint', 'integer', 'regclass')
        UNION ALL SELECT ARRAY['text', 'text', a.type] FROM types AS a) AS v
    WHERE o.is_variadic AND o.args[cardinality(o.args)] = '"any"' AND cardinality(o.args) <= 2
), cast_away AS (
    SELECT o.proname, o.args[:c.at - 1] || c.type || o.args[c.at + 1:] AS args
    FROM own AS o, LATERAL (
        SELECT a.at, f.type FROM generate_subscripts(o.args, 1) AS a (at), (VALUES
            ('text', 'name'), ('text', 'character varying'), ('text', '"char"'), ('bigint', 'integer'), ('bigint', 'smallint'),
            ('integer', 'smallint'), ('oid', 'regclass'), ('oid', 'integer'), ('oid', 'bigint'), ('oid', 'regproc'),
            ('numeric', 'integer'), ('numeric', 'bigint'), ('double precision', 'integer'), ('double precision', 'numeric'),
            ('double precision', 'bigint'), ('timestamp with time zone', 'timestamp without time zone'),
            ('regclass', 'text'), ('regclass', 'oid')) AS f (wanted, type)
        WHERE o.args[a.at] = f.wanted) AS c
)
SELECT DISTINCT s.proname, s.args FROM (
    SELECT * FROM poly UNION ALL SELECT * FROM spread UNION ALL SELECT * FROM cast_away) AS s
WHERE array_position(s.args, NULL) IS NULL AND NOT s.args && '{"\"any\"",record,"record[]"}'
  AND NOT s.args::text ~ 'any(element|array|nonarray|enum|range|multirange|compatible)';

CREATE FUNCTION pg_temp.lay(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN true;
EXCEPTION WHEN OTHERS THEN
    RETURN false;  -- The same as another, or of types that make none.
END $$;

SELECT count(*) FILTER (WHERE pg_temp.lay(format('CREATE OR REPLACE FUNCTION public.%I(%s) RETURNS boolean LANGUAGE plpgsql
    AS $trap$ BEGIN RAISE EXCEPTION ''TRAP function %s(%s) as %%'', current_user; END $trap$',
    s.proname, array_to_string(s.args, ', '), s.proname, replace(array_to_string(s.args, ', '), '"', ''))))
FROM signatures AS s;

SELECT count(*) FILTER (WHERE pg_temp.lay(format('CREATE FUNCTION public.trap_operator(%s, %s) RETURNS boolean LANGUAGE plpgsql
    AS $trap$ BEGIN RAISE EXCEPTION ''TRAP operator of %s and %s as %%'', current_user; END $trap$',
    a.type, b.type, replace(a.type, '"', ''), replace(b.type, '"', ''))))
FROM types AS a, types AS b;
SELECT count(*) FILTER (WHERE pg_temp.lay(format('CREATE OPERATOR public.%s (FUNCTION = public.trap_operator, LEFTARG = %s,
    RIGHTARG = %s)', o.oprname, o.a, o.b)))
FROM (SELECT DISTINCT o.oprname, a.type AS a, b.type AS b FROM pg_operator AS o, types AS a, types AS b
    WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b'
      AND (a.type = b.type AND o.oprname ~ '^([=<>]|<>|<=|>=|[|][|]|&&|@>|<@|~|!~|~~|!~~|[*]<>|[*]=)$'
        OR a.type <> b.type AND o.oprname IN ('||', '=', '<>', '<', '>', '+', '-', '->', '->>', '#>>', '?', '@>', '^@')
          AND (a.type IN ('text', 'integer', 'bigint', 'name', 'jsonb') OR b.type IN ('text', 'integer', 'bigint', 'name')))
) AS o
WHERE NOT EXISTS (SELECT FROM pg_operator AS x WHERE x.oprnamespace = 'pg_catalog'::regnamespace AND x.oprname = o.oprname
    AND x.oprleft = o.a::regtype AND x.oprright = o.b::regtype);
