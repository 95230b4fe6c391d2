extension Check {
  /// The database's encoding, others' rights in schema public, and settings of the database and of roles.
  static let surroundings = [
    Check(
      name: "encoding", severity: .fail,
      fine: "the database keeps text as UTF-8",
      remedy:
        "move to a database with ENCODING 'UTF8' TEMPLATE template0: run `opsledger archive push` "
        + "here and `opsledger restore` there; bytes that are not UTF-8 stop heartbeat, "
        + "verify and push",
      sql: """
        SELECT format('its encoding is %s', pg_encoding_to_char(d.encoding))
        FROM pg_database AS d
        WHERE d.datname = current_database()
          AND d.encoding <> pg_char_to_encoding('UTF8')
        """),
    Check(
      name: "schema public", severity: .warn,
      fine: "only roles that were granted it may create in it",
      remedy:
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC: others could shadow names that are looked up there",
      sql: """
        SELECT 'PUBLIC may create in schema public' FROM pg_namespace AS n,
          aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS p
        WHERE n.nspname = 'public' AND p.grantee = 0 AND p.privilege_type = 'CREATE'
        """),
    Check(
      name: "settings", severity: .warn,
      fine: "no setting of the database or of a role weakens the ledger",
      remedy:
        "ALTER DATABASE … RESET, ALTER ROLE … RESET: with synchronous_commit off, a crash loses acknowledged "
        + "entries; with session_replication_role replica, references between the tables are not checked",
      sql: """
        SELECT format('%s has %s', concat_ws(' in ',
            CASE WHEN s.setrole <> 0 THEN 'role ' || s.setrole::regrole::text END,
            CASE WHEN s.setdatabase <> 0 THEN 'database ' || d.datname END,
            CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'every role' END), c.setting)
        FROM pg_db_role_setting AS s
          LEFT JOIN pg_database AS d ON d.oid = s.setdatabase,
          LATERAL unnest(s.setconfig) AS c (setting)
        WHERE s.setdatabase IN (0, (SELECT o.oid FROM pg_database AS o
            WHERE o.datname = current_database()))
          AND c.setting ~* '^(synchronous_commit=(off|false|no|0)|session_replication_role=replica)$'
        ORDER BY 1
        """),
  ]
}
