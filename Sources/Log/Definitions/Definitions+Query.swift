import Postgres

extension Definitions {
  static let roles = [
    "opsledger_owner", "opsledger_tables", "opsledger_engine", "opsledger_operator",
    "opsledger_auditor", "opsledger_repair", "opsledger_may_repair", "opsledger_writer",
  ]

  /// Everything that the schema creates, as the catalogue has it now: one row for each fact of each object.
  ///
  /// It has names instead of OIDs, so that a restored dump gives the same facts. Any superuser is the same owner.
  /// `whole` is true for objects of schemas `ledger` and `ledger_guard`, in which nobody else may have any. Columns,
  /// constraints, indexes, triggers, policies and grants that operators add to other objects are left out.
  ///
  /// Run it with `search_path` set to `pg_catalog, pg_temp`, because the catalogue prints names relative to it.
  /// - Parameters: `$1` relations of schema public, `$2` functions there, `$3` the roles.
  static let query = """
    WITH space AS (
      SELECT n.oid, n.nspname, n.nspowner, n.nspacl, n.nspname <> 'public' AS whole
      FROM pg_namespace AS n WHERE n.nspname IN ('ledger', 'ledger_guard', 'public')
    ), relation AS MATERIALIZED (
      SELECT c.*, s.whole, c.oid::regclass::text AS name,
        CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'S' THEN 'sequence ' ELSE 'table ' END || c.oid::regclass
          AS object
      FROM pg_class AS c JOIN space AS s ON s.oid = c.relnamespace
      WHERE c.relkind NOT IN ('i', 'I', 't') AND (s.whole OR c.relname = ANY ($1::text[]))
    ), attribute AS (
      SELECT a.*, r.whole, r.object, r.relkind FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid
      WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind <> 'S'
    ), function AS MATERIALIZED (
      SELECT p.*, s.whole, 'function ' || p.oid::regprocedure AS object
      FROM pg_proc AS p JOIN space AS s ON s.oid = p.pronamespace
      WHERE s.whole OR p.proname = ANY ($2::text[])
    ), owned AS (
      SELECT o.object, o.whole, o.acl, o.owner, o.part, o.allows
      FROM (
        SELECT 'schema ' || s.nspname AS object, s.whole,
          coalesce(s.nspacl, acldefault('n', s.nspowner)) AS acl, s.nspowner AS owner, '' AS part,
          s.whole AS allows
        FROM space AS s
        UNION ALL
        SELECT r.object, r.whole, coalesce(r.relacl,
          acldefault(CASE r.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, r.relowner)), r.relowner, '', true
        FROM relation AS r
        UNION ALL
        SELECT a.object, a.whole, a.attacl, r.relowner, format(' (%I)', a.attname), true
        FROM attribute AS a JOIN relation AS r ON r.oid = a.attrelid WHERE a.attacl IS NOT NULL
        UNION ALL
        SELECT f.object, f.whole, coalesce(f.proacl, acldefault('f', f.proowner)), f.proowner, '', true
        FROM function AS f
      ) AS o
    ), owner AS (
      SELECT r.oid, CASE WHEN r.rolsuper THEN 'a superuser' ELSE quote_ident(r.rolname) END AS name
      FROM pg_roles AS r
    ), fact (object, whole, fact, value) AS (
      SELECT 'server', false, 'major version', current_setting('server_version_num')::integer / 10000 || ''
      UNION ALL
      SELECT 'schema ' || s.nspname, true, 'owner', o.name
      FROM space AS s JOIN owner AS o ON o.oid = s.nspowner WHERE s.whole

      UNION ALL
      SELECT w.object, w.whole, format('%s may %s%s',
          CASE WHEN a.grantee = 0 THEN 'PUBLIC' WHEN a.grantee = w.owner THEN 'its owner'
            ELSE quote_ident(g.rolname) END, a.privilege_type, w.part),
        CASE WHEN bool_or(a.is_grantable AND a.grantee <> w.owner) THEN 'yes, and grant it' ELSE 'yes' END
      FROM owned AS w CROSS JOIN aclexplode(w.acl) AS a LEFT JOIN pg_roles AS g ON g.oid = a.grantee
      WHERE a.grantee = w.owner AND w.allows OR a.grantee = 0 AND w.allows
        OR NOT g.rolsuper AND a.grantee <> w.owner
          AND (w.whole OR g.rolname = ANY ($3::text[]) OR g.rolname = 'service_role')
      GROUP BY 1, 2, 3

      UNION ALL
      SELECT r.object, r.whole, f.fact, f.value
      FROM relation AS r JOIN owner AS o ON o.oid = r.relowner CROSS JOIN LATERAL (VALUES
        ('owner', o.name), ('kind', r.relkind::text), ('persistence', r.relpersistence::text),
        ('forced row security', r.relforcerowsecurity::text),
        -- Without these flags of the catalogue the server does not look for triggers and checks.
        ('its triggers', CASE WHEN r.relhastriggers THEN 'fire' END),
        ('its checks', CASE WHEN r.relkind IN ('r', 'p') AND r.relchecks >= (SELECT count(*) FROM pg_constraint AS c
          WHERE c.conrelid = r.oid AND c.contype = 'c') THEN 'hold' END),
        ('row security', CASE WHEN r.whole THEN r.relrowsecurity::text END),
        ('replica identity', CASE WHEN r.whole AND r.relkind IN ('r', 'p') THEN r.relreplident::text END),
        ('options', CASE r.relkind WHEN 'v' THEN array_to_string(ARRAY(
          SELECT unnest(r.reloptions) ORDER BY 1), ', ') END),
        ('query', CASE r.relkind WHEN 'v' THEN
          encode(sha256(convert_to(pg_get_viewdef(r.oid), 'UTF8')), 'hex') END),
        (CASE WHEN r.relkind = 'r' AND NOT r.whole THEN 'columns as laid' ELSE 'columns' END,
          CASE WHEN r.relkind IN ('r', 'v') OR r.whole THEN (
            SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM attribute AS a WHERE a.attrelid = r.oid) END),
        ('tables that inherit from it', CASE WHEN r.relkind IN ('r', 'p') THEN coalesce((
          SELECT string_agg(i.inhrelid::regclass::text, ', ' ORDER BY i.inhrelid::regclass::text)
          FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
          WHERE i.inhparent = r.oid AND NOT c.relispartition), '') END),
        ('tables that it inherits from', CASE WHEN r.relkind IN ('r', 'p') THEN coalesce((
          SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhparent::regclass::text)
          FROM pg_inherits AS i WHERE i.inhrelid = r.oid), '') END),
        ('entries', CASE WHEN r.relispartition THEN CASE
          WHEN substring(pg_get_expr(r.relpartbound, r.oid) FROM 'FROM \\(''?([0-9]+)''?\\)')::numeric
            = substring(r.relname FROM '_p([0-9]+)$')::numeric
          THEN 'from the number in its name' ELSE pg_get_expr(r.relpartbound, r.oid) END END)
      ) AS f (fact, value)
      UNION ALL
      SELECT a.object, a.whole, f.fact || a.attname, f.value
      FROM attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        CROSS JOIN LATERAL (VALUES
        ('type of ', format_type(a.atttypid, a.atttypmod)
          || CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || a.attcollation::regcollation
            ELSE '' END),
        ('NOT NULL of ', CASE WHEN a.relkind <> 'v' THEN a.attnotnull::text END),
        ('default of ', coalesce(pg_get_expr(d.adbin, d.adrelid), '')),
        ('making of ', a.attidentity::text || a.attgenerated::text)
      ) AS f (fact, value)
      UNION ALL
      SELECT r.object, r.whole, f.fact, f.value
      FROM relation AS r JOIN pg_sequence AS s ON s.seqrelid = r.oid CROSS JOIN LATERAL (VALUES
        ('AS', s.seqtypid::regtype::text), ('START', s.seqstart::text), ('INCREMENT', s.seqincrement::text),
        ('MINVALUE', s.seqmin::text), ('MAXVALUE', s.seqmax::text), ('CACHE', s.seqcache::text),
        ('CYCLE', s.seqcycle::text)) AS f (fact, value)

      UNION ALL
      SELECT format('constraint %I on %s', c.conname, r.name), r.whole, f.fact, f.value
      FROM relation AS r JOIN pg_constraint AS c ON c.conrelid = r.oid CROSS JOIN LATERAL (VALUES
        ('definition', regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', '')),
        ('valid', (c.convalidated AND coalesce((SELECT i.indisvalid AND i.indisready AND i.indislive
          FROM pg_index AS i WHERE i.indexrelid = c.conindid AND c.contype <> 'f'), true))::text),
        ('kept by its index', CASE WHEN c.contype IN ('p', 'u') THEN (SELECT (i.indisunique AND i.indimmediate
          AND i.indisprimary = (c.contype = 'p'))::text FROM pg_index AS i WHERE i.indexrelid = c.conindid) END),
        ('triggers that keep it', (SELECT count(*) FROM pg_trigger AS t
          WHERE t.tgconstraint = c.oid AND t.tgenabled IN ('O', 'A'))::text)
      ) AS f (fact, value)
      WHERE c.contype IN ('c', 'f', 'p', 'u', 'x')
      UNION ALL
      SELECT format('index %I on %s', c.relname, r.name), r.whole, f.fact, f.value
      FROM relation AS r JOIN pg_index AS i ON i.indrelid = r.oid JOIN pg_class AS c ON c.oid = i.indexrelid
        CROSS JOIN LATERAL (VALUES ('definition', pg_get_indexdef(i.indexrelid)),
          ('valid', (i.indisvalid AND i.indisready AND i.indislive)::text)) AS f (fact, value)
      WHERE NOT EXISTS (SELECT FROM pg_constraint AS k
        WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
      UNION ALL
      SELECT format('trigger %I on %s', t.tgname, r.name), r.whole, f.fact, f.value
      FROM relation AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid CROSS JOIN LATERAL (VALUES
        ('definition', pg_get_triggerdef(t.oid)), ('enabled', t.tgenabled::text)) AS f (fact, value)
      WHERE NOT t.tgisinternal
      UNION ALL
      SELECT format('rule %I on %s', u.rulename, r.name), r.whole, 'enabled', u.ev_enabled::text
      FROM relation AS r JOIN pg_rewrite AS u ON u.ev_class = r.oid WHERE u.rulename <> '_RETURN'
      UNION ALL
      SELECT format('policy %I on %s', p.polname, r.name), true, 'command', p.polcmd::text
      FROM relation AS r JOIN pg_policy AS p ON p.polrelid = r.oid WHERE r.whole

      UNION ALL
      SELECT p.object, p.whole, f.fact, f.value
      FROM function AS p JOIN owner AS o ON o.oid = p.proowner CROSS JOIN LATERAL (VALUES
        ('owner', o.name), ('kind', p.prokind::text), ('result', pg_get_function_result(p.oid)),
        ('arguments', pg_get_function_arguments(p.oid)),
        ('language', (SELECT l.lanname FROM pg_language AS l WHERE l.oid = p.prolang)),
        ('body', encode(sha256(convert_to(concat_ws(' ', p.prosrc, p.probin, pg_get_function_sqlbody(p.oid)), 'UTF8')), 'hex')),
        ('settings', array_to_string(p.proconfig, ', ')), ('volatility', p.provolatile::text),
        ('parallel', p.proparallel::text), ('strict', p.proisstrict::text),
        ('leakproof', p.proleakproof::text), ('security definer', p.prosecdef::text)
      ) AS f (fact, value)
      UNION ALL
      SELECT 'function digest(bytea, text) of pgcrypto', false, 'body', concat_ws(' ', l.lanname, p.prosrc, p.probin)
      FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
        JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pgcrypto'
        JOIN pg_language AS l ON l.oid = p.prolang
      WHERE p.proname = 'digest' AND p.proargtypes[0] = 'bytea'::regtype

      UNION ALL
      SELECT 'type ' || t.oid::regtype, false, f.fact, f.value
      FROM pg_type AS t JOIN owner AS o ON o.oid = t.typowner CROSS JOIN LATERAL (VALUES
        ('owner', o.name), ('labels', (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
          FROM pg_enum AS e WHERE e.enumtypid = t.oid))) AS f (fact, value)
      WHERE t.typtype = 'e' AND t.typname LIKE 'ops\\_%'
        AND t.oid IN (SELECT a.atttypid FROM attribute AS a WHERE NOT a.whole)
      UNION ALL
      SELECT format('cast (%s AS %s)', k.castsource::regtype, k.casttarget::regtype), true, 'method',
        k.castmethod::text
      FROM pg_cast AS k WHERE EXISTS (SELECT FROM pg_type AS t WHERE t.oid IN (k.castsource, k.casttarget)
        AND (t.oid IN (SELECT r.reltype FROM relation AS r)
          OR t.typtype = 'e' AND t.oid IN (SELECT a.atttypid FROM attribute AS a WHERE NOT a.whole)))
      UNION ALL
      SELECT 'type ' || t.oid::regtype, true, 'kind', t.typtype::text
      FROM pg_type AS t JOIN space AS s ON s.oid = t.typnamespace AND s.whole WHERE t.typtype IN ('d', 'e', 'r')
      UNION ALL
      SELECT pg_describe_object(d.classid, d.objid, d.objsubid), true, 'kind', d.classid::regclass::text
      FROM pg_depend AS d JOIN space AS s ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = s.oid
      WHERE s.whole AND d.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
      UNION ALL
      SELECT 'event trigger ' || quote_ident(e.evtname), true, f.fact, f.value
      FROM pg_event_trigger AS e JOIN owner AS o ON o.oid = e.evtowner CROSS JOIN LATERAL (VALUES
        ('owner', o.name), ('event', e.evtevent::text), ('function', e.evtfoid::regproc::text),
        ('enabled', e.evtenabled::text), ('tags', array_to_string(ARRAY(
          SELECT unnest(e.evttags) ORDER BY 1), ', '))) AS f (fact, value)
      WHERE e.evtname LIKE 'opsledger\\_%'

      UNION ALL
      SELECT 'role ' || quote_ident(r.rolname), false, 'attributes', array_to_string(ARRAY(
        SELECT CASE WHEN a.has THEN '' ELSE 'NO' END || a.name FROM (VALUES ('LOGIN', r.rolcanlogin),
          ('SUPERUSER', r.rolsuper), ('CREATEDB', r.rolcreatedb), ('CREATEROLE', r.rolcreaterole),
          ('INHERIT', r.rolinherit), ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)
        ) AS a (name, has)), ' ')
      FROM pg_roles AS r WHERE r.rolname = ANY ($3::text[])
      UNION ALL
      SELECT 'role ' || quote_ident(r.rolname), false, 'member of ' || quote_ident(g.rolname),
        string_agg(DISTINCT concat_ws(' ', 'yes', CASE WHEN m.admin_option THEN 'ADMIN' END,
          CASE to_jsonb(m) ->> 'inherit_option' WHEN 'true' THEN 'INHERIT' END,
          CASE to_jsonb(m) ->> 'set_option' WHEN 'true' THEN 'SET' END), ', ')
      FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member JOIN pg_roles AS g ON g.oid = m.roleid
      WHERE r.rolname = ANY ($3::text[]) AND g.rolname = ANY ($3::text[])
      GROUP BY 1, 3
    )
    SELECT f.object, f.whole, f.fact, f.value FROM fact AS f WHERE f.value IS NOT NULL
    """

  /// The applied migrations, as facts like those of ``query``.
  static let migrations = """
    SELECT 'migration ' || m.name, false, f.fact, f.value
    FROM ledger.migrations AS m CROSS JOIN LATERAL (VALUES
      ('oldest release', m.oldest_binary), ('sha256', encode(m.sha256, 'hex'))) AS f (fact, value)
    WHERE m.name NOT LIKE '%/%' AND f.value IS NOT NULL
    """
}
