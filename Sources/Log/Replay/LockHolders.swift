import Ledger
import Postgres

/// Who holds the tables that a rebuild wants.
enum LockHolders {
  /// The refusal that names them, the oldest transaction first.
  ///
  /// - Parameter all: Whether readers are in the way too.
  static func refusal(_ what: String, _ session: Session, all: Bool) -> OpsError {
    // What failed left its transaction open.
    try? session.connection().rollbackIfOpen()
    let holders = (try? find(session, all: all)) ?? []
    return OpsError(
      .conflict,
      holders.isEmpty
        ? "\(what): somebody keeps using them"
        : "\(what): held by \(holders.joined(separator: "; "))",
      hint: "`opsledger halt` stops the loop; end others by "
        + "SELECT pg_terminate_backend(pid), or ROLLBACK PREPARED")
  }

  private static func find(_ session: Session, all: Bool) throws(OpsError) -> [String] {
    var parameters = Parameters()
    parameters.texts(NounName.allCases.map { TableText.of($0).relation })
    parameters.bool(all)
    let rows = try session.query(holders, parameters)
    return try onDatabase { () throws(PostgresError) in
      var holders: [String] = []
      for row in 0..<rows.count { holders.append(try rows.text(row, 0)) }
      return holders
    }
  }

  /// A prepared transaction has no process. Whoever may not see others' statistics is not told since
  /// when.
  private static let holders = Statement(
    """
    SELECT coalesce('pid ' || l.pid, 'a prepared transaction') || ' ('
      || concat_ws(', ', nullif(a.application_name, ''), a.usename, a.state,
        'since ' || to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) || ') on '
      || string_agg(DISTINCT l.relation::regclass::text, ', ')
    FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.relation IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS t(name))
      AND ($2::boolean OR l.mode NOT IN ('AccessShareLock'))
    GROUP BY l.pid, a.application_name, a.usename, a.state, a.xact_start
    ORDER BY a.xact_start NULLS LAST LIMIT 5
    """)
}
