import Ledger

extension Check {
  /// All checks, in the order in which `doctor` prints them.
  static let all = log + tables + roles + server + surroundings

  static let applyAgain = "apply the schema again with `opsledger init`"
  static let whole = "to compare, run `opsledger --database URL init` in an empty database"
  private static let eight =
    "SELECT to_regclass('public.' || k.relation) FROM ledger.captured_columns() AS k"

  private static let appendOnly = """
    SELECT 'ledger.events'::regclass AS oid UNION ALL SELECT 'ledger.checkpoints'
    UNION ALL SELECT 'ledger.archived_partitions' UNION ALL SELECT 'ledger.kept_events'
    UNION ALL SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = 'ledger.events'::regclass
    """

  /// The greatest version of a row of each table.
  private static let versions = RowType.allCases.map { rowType in
    let table = (rowType.isOfTheEight ? "public." : "") + TableText.of(rowType).table
    return "SELECT '\(table): versions of a row', max(t.version)::bigint, \(Draft.versionMax) "
      + "FROM \(table) AS t"
  }.joined(separator: " UNION ALL ")

  private static func counters(
    _ name: String, _ severity: Finding.Verdict, usedUp: String, fine: String
  ) -> Check {
    Check(
      name: name, severity: severity, fine: fine,
      remedy:
        "without free numbers nothing can be recorded. `opsledger rebuild` repairs versions that "
        + "the log does not have; if entry numbers run out, begin a new ledger",
      sql: """
        SELECT format('%s: %s of %s are used', n.name, n.at, n.ends) FROM (
          SELECT s.seqrelid::regclass::text AS name, pg_sequence_last_value(s.seqrelid) AS at,
            s.seqmax AS ends
          FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid
          WHERE c.relnamespace = 'ledger'::regnamespace AND s.seqmin > 0
          UNION ALL \(versions)
        ) AS n WHERE n.at > \(usedUp) ORDER BY 1
        """)
  }

  private static let log = [
    Check(
      name: "log triggers", severity: .fail,
      fine: "log, partitions and checkpoints refuse UPDATE, DELETE and TRUNCATE",
      remedy: "\(applyAgain), then run `opsledger verify`: until now, nothing refused a change",
      isApplied: true,
      sql: """
        SELECT format('%s: trigger %s is missing, or not ENABLE ALWAYS', a.oid::regclass, n.name)
        FROM (\(appendOnly)) AS a, unnest(ARRAY['append_only', 'append_only_rows']) AS n(name)
        WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = a.oid AND t.tgname = n.name
          AND t.tgenabled = 'A' AND t.tgfoid = to_regproc('ledger.refuse_change'))
        ORDER BY 1
        """),
    Check(
      name: "log privileges", severity: .fail,
      fine: "no role may change or empty the log",
      remedy: "REVOKE them, and ask who granted them",
      sql: """
        SELECT format('%s may %s %s', CASE p.grantee WHEN 0 THEN 'PUBLIC' ELSE p.grantee::regrole::text END,
          p.privilege_type, a.oid::regclass)
        FROM (\(appendOnly)) AS a JOIN pg_class AS c ON c.oid = a.oid,
          aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS p
        WHERE p.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE') ORDER BY 1
        """),
    Check(
      name: "log keys", severity: .fail,
      fine: "each partition has a unique index of stream and version",
      remedy: "`opsledger verify` names streams with two events of one version; \(whole)",
      sql: """
        SELECT format('%s has no unique index of (stream, version)', i.inhrelid::regclass)
        FROM pg_inherits AS i WHERE i.inhparent = 'ledger.events'::regclass
          AND NOT EXISTS (SELECT FROM pg_index AS x WHERE x.indrelid = i.inhrelid
            AND x.indisunique AND x.indisvalid AND x.indpred IS NULL
            AND pg_get_indexdef(x.indexrelid) LIKE '%(stream, version)') ORDER BY 1
        """),
    Check(
      name: "entry numbers", severity: .fail,
      fine: "the sequence of entry numbers counts up by one",
      remedy: "a seal could pass open appends: stop all writers; then a superuser disables event "
        + "trigger opsledger_frozen_ddl, sets CACHE 1 NO CYCLE INCREMENT 1, and enables the trigger "
        + "again (ENABLE ALWAYS)",
      sql: """
        SELECT format('ledger.entry_sequence has CACHE %s, CYCLE %s and INCREMENT %s', s.seqcache, s.seqcycle,
          s.seqincrement)
        FROM pg_sequence AS s WHERE s.seqrelid = 'ledger.entry_sequence'::regclass AND (
          s.seqcache <> 1 OR s.seqcycle OR s.seqincrement <> 1)
        """),
    Check(
      name: "numbers and seals", severity: .fail,
      fine: "the next number is above every sealed and recorded entry",
      remedy: "somebody set the sequence back: run `opsledger init`, which corrects it, then "
        + "`opsledger verify`",
      sql: """
        SELECT format('entry numbers stand at %s, and entry %s is %s', n.at,
          greatest(n.sealed, n.recorded),
          CASE WHEN n.sealed > n.at THEN 'sealed' ELSE 'recorded' END)
        FROM (SELECT coalesce(pg_sequence_last_value('ledger.entry_sequence'), 0) AS at,
          ledger.sealed() AS sealed,
          (SELECT max(e.entry) FROM ledger.events AS e) AS recorded) AS n
        WHERE NOT pg_is_in_recovery() AND n.at < greatest(n.sealed, n.recorded)
        """),
    counters(
      "counters", .warn, usedUp: "n.ends / 2",
      fine: "each sequence and version has more than half of its numbers left"),
    counters(
      "counters near their end", .fail, usedUp: "n.ends - n.ends / 16",
      fine: "each sequence and version has more than a sixteenth of its numbers left"),
    Check(
      name: "partitions", severity: .warn,
      fine: "the server has enough locks for a statement that reads the whole log",
      remedy: "raise max_locks_per_transaction and restart the server, or archive old partitions: "
        + "policy retention, log_days",
      sql: """
        SELECT format('the log has %s partitions: reading all of them takes %s locks, '
          'and the server has %s', n.partitions, n.locks, n.slots)
        FROM (SELECT count(*) AS partitions,
            sum(1 + (SELECT count(*) FROM pg_index AS x
              WHERE x.indrelid = i.inhrelid)) AS locks,
            current_setting('max_locks_per_transaction')::bigint
              * (current_setting('max_connections')::bigint
                + current_setting('max_prepared_transactions')::bigint) AS slots
          FROM pg_inherits AS i WHERE i.inhparent = 'ledger.events'::regclass) AS n
        WHERE n.locks > n.slots / 2
        """),
    Check(
      name: "partitions ahead", severity: .warn,
      fine: "the log has partitions for the next entries",
      remedy: "run `opsledger heartbeat`, which makes partitions; without them, appends will fail",
      sql: """
        SELECT format('entry numbers stand at %s, and the last partition ends at %s', n.at, n.ends)
        FROM (SELECT pg_sequence_last_value('ledger.entry_sequence') AS at, (
          SELECT max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''?([0-9]+)''?\\)')::bigint)
          FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'ledger.events'::regclass) AS ends) AS n
        WHERE coalesce(n.ends, 0) - n.at < 1000000 AND n.ends <= \(EntryNumber.last)
        """),
    Check(
      name: "instance", severity: .fail,
      fine: "the instance mark is this database's own",
      remedy: "resolve it with `opsledger restore`; until then nothing is recorded here",
      sql: """
        SELECT CASE pg_sequence_last_value('ledger.instance_mark')
          WHEN 0 THEN 'a stale copy: a store has entries that this database lacks'
          ELSE 'this database is a copy, an old backup put back, or a promoted standby' END
        WHERE CASE WHEN NOT pg_is_in_recovery()
          THEN CASE WHEN pg_sequence_last_value('ledger.instance_mark') IS NULL
            THEN ledger.has_history()
            ELSE ledger.current_mark() <> pg_sequence_last_value('ledger.instance_mark') END END
        """),
    Check(
      name: "frozen schema", severity: .fail,
      fine: "event triggers refuse DDL on the log, and DDL that would switch capture off",
      remedy:
        "run `opsledger init` as a superuser, which creates them; without them, the owners of "
        + "tables and log can change these, and only a Merkle root that is kept elsewhere shows it",
      isApplied: true,
      sql: """
        SELECT format('event trigger %s is missing, or not ENABLE ALWAYS', n.name)
        FROM unnest(ARRAY['opsledger_frozen_start', 'opsledger_frozen_ddl', 'opsledger_frozen_drop',
          'opsledger_tables_ddl', 'opsledger_tables_drop', 'opsledger_tables_rewrite']) AS n(name)
        WHERE NOT EXISTS (SELECT FROM pg_event_trigger AS e
          WHERE e.evtname = n.name AND e.evtenabled = 'A')
        """),
  ]

  /// Operators' constraints of the eight tables that rows violate or may violate: those that are NOT VALID, and those
  /// that the last repair dropped and nobody has added again. The schema's own constraints belong to ``Definitions``.
  static let notInForce = """
    SELECT format('constraint %I on %s is NOT VALID', c.conname, c.conrelid::regclass)
    FROM pg_constraint AS c
    WHERE NOT c.convalidated AND c.conrelid IN (\(eight))
      AND NOT EXISTS (SELECT FROM ledger_guard.definitions AS d
        WHERE d.object = format('constraint %I on public.%I', c.conname,
          (SELECT r.relname FROM pg_class AS r WHERE r.oid = c.conrelid)))
    UNION ALL
    SELECT format('%s %s of %s was dropped by the last repair: %s', replace(l.kind, '_', ' '), l.name, l."table", l.statement)
    FROM (
      SELECT e.data FROM ledger.events_in_database AS e
      WHERE e.type IN ('\(LedgerRecord.eventType(.rebuilt))', '\(LedgerRecord.eventType(.restored))')
        AND e.stream = '\(StreamID.ledger)'::uuid
      ORDER BY e.entry DESC LIMIT 1
    ) AS last CROSS JOIN LATERAL json_to_recordset(
        coalesce(last.data -> 'report' -> 'dropped_constraints', last.data -> 'report' -> 'rebuilt' -> 'dropped_constraints', '[]'))
      AS l (kind text, "table" text, name text, statement text)
    WHERE to_regclass(l."table") IS NOT NULL
      AND NOT EXISTS (SELECT FROM ledger_guard.definitions AS d WHERE d.object IN (
        format('constraint %s on %s', l.name, l."table"), format('index %s on %s', l.name, l."table")))
      AND CASE l.kind
        WHEN 'index' THEN to_regclass(l.name) IS NULL
        WHEN 'constraint' THEN NOT EXISTS (SELECT FROM pg_constraint AS c
          WHERE c.conrelid = to_regclass(l."table") AND quote_ident(c.conname) = l.name)
        WHEN 'not_null' THEN EXISTS (SELECT FROM pg_attribute AS a
          WHERE a.attrelid = to_regclass(l."table") AND quote_ident(a.attname) = l.name AND NOT a.attnotnull
            AND NOT a.attisdropped)
        ELSE false END
    ORDER BY 1
    """

  private static let tables = [
    Check(
      name: "capture", severity: .fail,
      fine: "every change of the eight tables is recorded",
      remedy: "\(applyAgain), then run `opsledger verify`",
      isApplied: true,
      sql: """
        SELECT f.relation || ': ' || f.fault FROM ledger_guard.table_faults() AS f
        WHERE starts_with(f.fault, 'trigger ') ORDER BY 1
        """),
    Check(
      name: "tables", severity: .fail,
      fine: "the eight tables have the columns and rules that the log expects",
      remedy: "undo the change, then run `opsledger verify`; \(whole)",
      sql: """
        SELECT f.relation || ': ' || f.fault FROM ledger_guard.table_faults() AS f
        WHERE NOT starts_with(f.fault, 'trigger ') ORDER BY 1
        """),
    Check(
      name: "keys", severity: .fail,
      fine: "primary keys, unique keys and references are in force",
      remedy: "run `opsledger verify`, then ALTER TABLE … ADD CONSTRAINT; \(whole)",
      sql: """
        SELECT format('%s has no valid %s', k.relation, k.relation || k.tail)
        FROM (SELECT DISTINCT c.relation, '_pkey' AS tail FROM ledger.captured_columns() AS c
          UNION ALL VALUES ('ops_mission_proposals', '_dedupe_key_key'), ('ops_agent_events', '_dedupe_key_key'),
            ('ops_action_runs', '_run_id_key'), ('ops_missions', '_proposal_id_fkey'),
            ('ops_mission_steps', '_mission_id_fkey'), ('ops_agent_events', '_mission_id_fkey'),
            ('ops_agent_reactions', '_event_id_fkey'), ('ops_action_runs', '_step_id_fkey')
        ) AS k (relation, tail)
        WHERE NOT EXISTS (SELECT FROM pg_constraint AS c
          WHERE c.conrelid = to_regclass('public.' || k.relation) AND c.conname = k.relation || k.tail
            AND c.contype IN ('p', 'u', 'f') AND c.convalidated)
        ORDER BY 1
        """),
    Check(
      name: "quarantine", severity: .warn,
      fine: "no row is quarantined",
      remedy:
        "look at the row (`opsledger step show`, `proposal show`, psql) and at the constraints, triggers "
        + "and locks of its table; amend the row, or remove what refuses it. The loop tries it again",
      sql: """
        SELECT format('%s %s, by %s: %s', p.row_type, p.stream, p.name, p.why)
        FROM ledger.quarantine AS p ORDER BY p.since, p.stream LIMIT 100
        """),
    Check(
      name: "rows", severity: .warn,
      fine: "every row satisfies every constraint",
      remedy:
        "change the rows; then `opsledger rebuild` adds the schema's constraints again, and you "
        + "add your own",
      sql: notInForce),
    Check(
      name: "views", severity: .fail,
      fine: "every view exists",
      remedy: applyAgain,
      isApplied: true,
      sql: """
        SELECT format('%s is missing', v.name)
        FROM unnest(ARRAY['public.ops_proposal_votes', 'public.ops_policy_history', 'public.ops_policy_audit',
          'public.ops_step_dead_letters', 'public.ops_radar', 'ledger.events_in_database',
          'ledger.policy_changes']) AS v (name)
        WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = to_regclass(v.name) AND c.relkind = 'v')
        ORDER BY 1
        """),
    Check(
      name: "row-level policies", severity: .fail,
      fine: "no table of the ledger has FORCE ROW LEVEL SECURITY",
      remedy: "ALTER TABLE … NO FORCE ROW LEVEL SECURITY: replay, verify and capture refuse to run "
        + "where rows could be hidden from them",
      sql: """
        SELECT format('%s forces row-level security on its owners', c.oid::regclass)
        FROM pg_class AS c WHERE c.relforcerowsecurity AND (
          c.relnamespace = 'ledger'::regnamespace
          OR c.oid IN (\(eight)))
        ORDER BY 1
        """),
    Check(
      name: "replication", severity: .fail,
      fine: "no subscription writes the eight tables",
      remedy:
        "drop the subscription: its changes are not recorded. Replicate the log instead, and run "
        + "`opsledger rebuild` in the other database",
      sql: """
        SELECT format('a subscription writes %s', s.srrelid::regclass) FROM pg_subscription_rel AS s
        WHERE s.srrelid IN (\(eight)) ORDER BY 1
        """),
  ]
}
