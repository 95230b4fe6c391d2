package import Ledger
package import Postgres

/// The sessions that hold locks on the ledger's tables.
package enum LockHolders {
  /// An error that names the sessions, the oldest transaction first.
  ///
  /// - Parameter all: Whether readers are in the way too.
  package static func refusal(_ what: String, _ session: Session, all: Bool) -> OpsError {
    // The statement that failed left its transaction open.
    try? session.connection().rollbackIfOpen()
    var parameters = Parameters()
    parameters.texts(RowType.allCases.map { TableText.of($0).relation })
    parameters.bool(all)
    let holders = (try? session.query(Self.holders, parameters).texts()) ?? []
    return OpsError(
      .conflict,
      holders.isEmpty
        ? "\(what): other sessions use them"
        : "\(what): held by \(holders.joined(separator: "; "))",
      hint: (all ? "`opsledger halt` stops the loop; " : "")
        + "end a session with SELECT pg_terminate_backend(pid), a prepared transaction with ROLLBACK PREPARED"
    )
  }

  /// A prepared transaction has no process. A login that may not see others' statistics does not learn the times.
  private static let holders = Statement(
    """
    SELECT coalesce('pid ' || l.pid, 'a prepared transaction') || ' (' || \(session) || ') on '
      || string_agg(DISTINCT l.relation::regclass::text, ', ')
    FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.relation IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS t(name))
      AND ($2::boolean OR l.mode NOT IN ('AccessShareLock'))
    GROUP BY l.pid, a.application_name, a.usename, a.state, a.xact_start
    ORDER BY a.xact_start NULLS LAST LIMIT 5
    """)

  /// SQL: the program, login, state and age of the session `a`.
  private static let session = """
    concat_ws(', ', nullif(a.application_name, ''), a.usename, a.state,
      'since ' || to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
    """

  /// SQL: whether the lock `l` is on a relation `c` of the ledger, in this database.
  private static let isOurs = """
    l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND (c.relnamespace = 'ledger'::regnamespace
        OR c.oid IN (SELECT to_regclass('public.' || k.relation) FROM ledger.captured_columns() AS k))
    """

  /// Sessions that have blocked the ledger's tables for more than two seconds: sessions that another session waits for,
  /// and sessions that hold a lock which conflicts with writers.
  package static let inTheWaySQL = """
    SELECT 'pid ' || w.pid || ' (' || concat_ws(', ', nullif(a.application_name, ''), a.usename) || ') waits for '
      || string_agg(DISTINCT coalesce('pid ' || nullif(p.pid, 0), 'a prepared transaction')
        || coalesce(' (' || concat_ws(', ', nullif(b.application_name, ''), b.usename, b.state) || ')', ''), ', ')
    FROM pg_locks AS w LEFT JOIN pg_stat_activity AS a ON a.pid = w.pid
      CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS p(pid) LEFT JOIN pg_stat_activity AS b ON b.pid = p.pid
    WHERE NOT w.granted AND w.waitstart < clock_timestamp() - interval '2 seconds'
      AND w.pid IN (SELECT l.pid FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation WHERE \(isOurs))
    GROUP BY w.pid, a.application_name, a.usename
    UNION ALL
    SELECT coalesce('pid ' || l.pid || ' (' || concat_ws(', ', nullif(a.application_name, ''), a.usename, a.state) || ')',
        'a prepared transaction') || ' has locked ' || string_agg(DISTINCT l.relation::regclass::text, ', ')
    FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.granted AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      AND l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND (a.xact_start < clock_timestamp() - interval '2 seconds') IS NOT FALSE
      AND c.relkind IN ('r', 'p') AND \(isOurs)
    GROUP BY l.pid, a.application_name, a.usename, a.state
    ORDER BY 1 LIMIT 20
    """
  package static let inTheWay = Statement(inTheWaySQL)

  /// The sessions that block some server processes, and the tables concerned. `$1`: the ids of the blocked processes. An
  /// id of 0 stands for every process with the application name `$2`: a pooler hides the id.
  static let waitedFor = Statement(
    """
    SELECT coalesce('pid ' || b.pid, 'a prepared transaction') || coalesce(' (' || nullif(\(session), '') || ')', '')
      || coalesce(', which has locked ' || (
        SELECT l.relation::regclass::text || CASE WHEN l.locktype = 'tuple' THEN ' (a row)' ELSE '' END
        FROM pg_locks AS l WHERE l.pid = w.pid AND l.relation IS NOT NULL AND (NOT l.granted OR l.locktype = 'tuple')
        ORDER BY l.granted LIMIT 1), ', which has a lock')
    FROM (
      SELECT u.pid FROM unnest($1::integer[]) AS u(pid) WHERE u.pid <> 0
      UNION SELECT s.pid FROM pg_stat_activity AS s
      WHERE 0 = ANY ($1::integer[]) AND s.application_name = $2::text
    ) AS w CROSS JOIN LATERAL (
      SELECT DISTINCT nullif(p.pid, 0) AS pid FROM unnest(pg_blocking_pids(w.pid)) AS p(pid)
    ) AS b LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
    ORDER BY 1 LIMIT 5
    """)
}
