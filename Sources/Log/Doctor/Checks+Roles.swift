extension Check {
  static let roles = [
    Check(
      name: "roles", severity: .fail,
      fine: "no role of opsledger can log in, and none is a superuser",
      remedy: "ALTER ROLE … NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE",
      sql: """
        SELECT format('%s %s', r.rolname, concat_ws(', ', CASE WHEN r.rolcanlogin THEN 'can log in' END,
          CASE WHEN r.rolsuper THEN 'is a superuser' END,
          CASE WHEN r.rolbypassrls THEN 'bypasses row-level policies' END,
          CASE WHEN r.rolcreaterole THEN 'may create roles' END))
        FROM pg_roles AS r WHERE r.rolname IN ('\(Definitions.roles.joined(separator: "', '"))')
          AND (r.rolcanlogin OR r.rolsuper OR r.rolbypassrls OR r.rolcreaterole) ORDER BY 1
        """),
    Check(
      name: "memberships", severity: .fail,
      fine: "only the engine can become the repair role, and nobody can become the log's owner or "
        + "writer",
      remedy:
        "REVOKE the membership: the member can change tables without capture, or write the log",
      sql: """
        SELECT format('%s is a member of %s', m.member::regrole, m.roleid::regrole)
        FROM pg_auth_members AS m
        WHERE m.roleid IN (to_regrole('opsledger_owner'), to_regrole('opsledger_repair'),
            to_regrole('opsledger_may_repair'), to_regrole('opsledger_writer'),
            to_regrole('pg_write_all_data'), to_regrole('pg_execute_server_program'),
            to_regrole('pg_write_server_files'))
          AND (m.roleid, m.member) NOT IN (
            (to_regrole('opsledger_repair')::oid, to_regrole('opsledger_may_repair')::oid),
            (to_regrole('opsledger_may_repair')::oid, to_regrole('opsledger_engine')::oid))
          AND NOT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.oid = m.member)
        ORDER BY 1
        """),
    Check(
      name: "role makers", severity: .warn,
      fine: "only superusers may create roles",
      remedy:
        "ALTER ROLE … NOCREATEROLE: before PostgreSQL 16 the role can grant itself opsledger's roles",
      sql: """
        SELECT format('%s may create roles', r.rolname) FROM pg_roles AS r
        WHERE r.rolcreaterole AND NOT r.rolsuper AND current_setting('server_version_num')::integer < 160000
        ORDER BY 1
        """),
    Check(
      name: "functions", severity: .fail,
      fine: "PUBLIC may call none of the ledger's functions",
      remedy: applyAgain,
      isApplied: true,
      sql: """
        SELECT format('PUBLIC may call %s', p.oid::regprocedure) FROM pg_proc AS p
        WHERE (p.pronamespace IN (to_regnamespace('ledger'), to_regnamespace('ledger_guard'))
            OR p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'ops\\_%'
              AND p.proowner = to_regrole('opsledger_owner'))
          -- Capture's triggers call these as the role that writes.
          AND p.proname NOT IN ('capture_is_on', 'capture_checks_reports', 'capture_numbers')
          AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
            WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE') ORDER BY 1
        """),
    Check(
      name: "rights", severity: .fail,
      fine: "each role has the rights that it needs",
      remedy: applyAgain,
      isApplied: true,
      sql: """
        WITH relations AS (
          SELECT DISTINCT 'public.' || c.relation AS name, ARRAY['INSERT', 'UPDATE', 'DELETE'] AS writes
          FROM ledger.captured_columns() AS c
          UNION ALL VALUES ('ledger.events', ARRAY['INSERT']), ('ledger.idempotency_keys', ARRAY['INSERT']),
            ('ledger.tombstones', ARRAY[]::text[]), ('ledger.checkpoints', ARRAY[]::text[])
        ), needed AS (
          SELECT 'opsledger_auditor' AS role, r.name AS relation, 'SELECT' AS privilege FROM relations AS r
          UNION ALL
          SELECT w.role, r.name, p.privilege
          FROM relations AS r, unnest(ARRAY['opsledger_engine', 'opsledger_repair']) AS w (role),
            unnest(ARRAY['SELECT'] || r.writes) AS p (privilege)
        )
        SELECT format('%s may not %s %s', n.role, n.privilege, n.relation) FROM needed AS n
        WHERE NOT has_table_privilege(n.role, to_regclass(n.relation), n.privilege)
        UNION ALL
        SELECT format('opsledger_engine may not call ledger.%s', p.proname) FROM pg_proc AS p
        WHERE p.pronamespace = to_regnamespace('ledger') AND p.proname IN ('allocate_entry', 'seal', 'add_partitions', 'now')
          AND NOT has_function_privilege('opsledger_engine', p.oid, 'EXECUTE')
        ORDER BY 1
        """),
    Check(
      name: "owners", severity: .fail,
      fine: "the ledger and the eight tables belong to opsledger's roles",
      remedy: "ALTER … OWNER TO, by a superuser: rights do not restrict an owner",
      sql: """
        SELECT format('%s belongs to %s, not to %s', o.oid::regclass, o.relowner::regrole, o.rightful)
        FROM (SELECT c.oid, c.relowner, CASE WHEN c.relnamespace = to_regnamespace('ledger')
            OR c.relname IN ('ops_policy_history', 'ops_policy_audit')
            THEN 'opsledger_owner' ELSE 'opsledger_tables' END AS rightful
          FROM pg_class AS c WHERE c.relkind IN ('r', 'p', 'v', 'S') AND (
            -- Permits belong to the superuser who applied the schema: no role of opsledger may write one.
            c.relnamespace = to_regnamespace('ledger') AND c.relname NOT IN ('ddl_permits', 'erasure_permits')
            OR c.oid IN (
              SELECT to_regclass('public.' || k.relation) FROM ledger.captured_columns() AS k
              UNION ALL SELECT to_regclass('public.' || v) FROM unnest(ARRAY['ops_proposal_votes',
                'ops_policy_history', 'ops_policy_audit', 'ops_step_dead_letters', 'ops_radar']) AS v))
        ) AS o WHERE o.relowner IS DISTINCT FROM to_regrole(o.rightful) ORDER BY 1
        """),
    Check(
      name: "this login", severity: .warn,
      fine: "this login is no superuser",
      remedy: "use a login in opsledger_engine: no protection stops a superuser",
      sql: """
        SELECT format('%s is a superuser', r.rolname) FROM pg_roles AS r
        WHERE r.rolname = session_user AND r.rolsuper
        """),
  ]

  static let server = [
    Check(
      name: "durability", severity: .warn,
      fine: "every committed transaction is on disk",
      remedy: "switch the settings on: otherwise a crash can lose acknowledged entries, or more",
      sql: """
        SELECT format('%s is %s', s.name, s.setting) FROM pg_settings AS s
        WHERE s.name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND s.setting = 'off' ORDER BY 1
        """),
    Check(
      name: "appends", severity: .warn,
      fine: "no append stays open",
      remedy: "the seal waits for this append: end its session with "
        + "SELECT pg_terminate_backend(PROCESS), or its prepared transaction with COMMIT PREPARED",
      sql: """
        SELECT format('%s has held the seal at entry %s since %s',
          coalesce('process ' || f.pid || ' (' || coalesce(a.usename::text, 'another login') || ')',
            'a prepared transaction'), f.bound, coalesce(a.xact_start::text, 'an unknown time'))
        FROM ledger.appends_in_flight() AS f LEFT JOIN pg_stat_activity AS a ON a.pid = f.pid
        WHERE a.xact_start < clock_timestamp() - interval '1 minute' OR f.pid IS NULL ORDER BY 1
        """),
    Check(
      name: "advisory locks", severity: .warn,
      fine: "only appends hold the locks that appends use",
      remedy: "ask whose session it is, or end it with SELECT pg_terminate_backend(PROCESS); "
        + "until then, appends use other locks",
      sql: """
        SELECT DISTINCT format('process %s (%s, %s) holds an advisory lock that only an append should hold',
          l.pid, coalesce(a.usename::text, 'another login'), coalesce(nullif(a.application_name, ''), 'no name'))
        FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint >> 16 IN (19796, 19797)
          AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
          AND (l.mode <> 'ShareLock' OR NOT EXISTS (
            SELECT FROM ledger.appends_in_flight() AS f WHERE f.pid IS NOT DISTINCT FROM l.pid))
        ORDER BY 1
        """),
    Check(
      name: "locks", severity: .warn,
      fine: "no session blocks others at the tables",
      remedy: "ask whose transaction it is, or end it: pg_terminate_backend, or ROLLBACK PREPARED",
      sql: LockHolders.inTheWaySQL),
    Check(
      name: "tasks", severity: .warn,
      fine: "no heartbeat, push or retention apply has run for an hour",
      remedy:
        "look whether its log or terminal shows progress, or end its process: until it ends, "
        + "no other process can run the task",
      sql: """
        SELECT format('%s: %s, since %s', r.task, ledger.task_lease_text(r), r.started_at)
        FROM ledger.task_leases AS r
        WHERE ledger.is_running(r) AND r.started_at < clock_timestamp() - interval '1 hour' ORDER BY 1
        """),
    Check(
      name: "idle transactions", severity: .warn,
      fine: "no transaction has been idle for ten minutes",
      remedy: "meanwhile vacuum cannot remove dead rows of the queues: end it, or set "
        + "idle_in_transaction_session_timeout on the operators' roles",
      sql: """
        SELECT format('process %s (%s, %s) has been idle in a transaction since %s', a.pid, a.usename,
          coalesce(nullif(a.application_name, ''), 'no name'), a.state_change)
        FROM pg_stat_activity AS a WHERE a.state LIKE 'idle in transaction%'
          AND a.state_change < clock_timestamp() - interval '10 minutes' ORDER BY a.state_change
        """),
  ]
}
