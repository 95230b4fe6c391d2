public import Ledger
import Postgres

/// The state of the ledger at one moment.
public struct LedgerStatus: Sendable {
  /// An open append. Only the seal waits for it.
  public struct Appender: Equatable, Sendable {
    /// The seal cannot pass this entry.
    public var bound: Int64
    /// Nil for a prepared transaction.
    public var pid: Int32?
    public var user: String?
    public var application: String?
    /// When its transaction began.
    public var since: Instant?
  }

  public struct Heartbeat: Equatable, Sendable {
    public var at: Instant
    public var succeeded: Bool
  }

  public struct QuarantinedRow: Equatable, Sendable {
    public var rowType: String
    public var row: StreamID
    public var why: String
    public var since: Instant
    /// Who skips it: `heartbeat`, or a worker's name.
    public var by: String
  }

  public var now = Instant(micros: 0)
  public var server = ""
  public var database = ""
  public var lastMigration = ""
  /// The last sealed entry, and the last allocated number.
  public var sealed: Int64 = 0
  public var allocated: Int64 = 0
  /// The appends that have been open for more than a second.
  public var appenders: [Appender] = []
  public var taskLeases: [TaskLease.Holder] = []
  /// The sessions that block others at the ledger's tables, and for how long.
  public var lockHolders: [String] = []
  public var unprocessedEvents: Int64 = 0
  public var queuedReactions: Int64 = 0
  public var pendingProposals: Int64 = 0
  public var steps: [String: Int64] = [:]
  public var deadLetters24h: Int64 = 0
  /// Missions that were created in the last 24 hours, by status.
  public var missions24h: [String: Int64] = [:]
  public var heartbeat: Heartbeat?
  /// The first quarantined rows, and how many there are.
  public var quarantined: [QuarantinedRow] = []
  public var quarantinedCount: Int64 = 0
  /// The last stored entry that this database knows of; nil if nothing was ever pushed.
  public var stored: Int64?
  /// When the first entry after that was recorded.
  public var unstoredSince: Instant?
  /// Proposals of this UTC day that the caps refused.
  public var refusedToday: Int64 = 0
  /// Tables without a row for which the log has rows.
  public var emptiedTables: [String] = []
  /// Why the database records nothing; nil if it records.
  public var refusal: String? { instanceState.refusal }
  var instanceState = InstanceState.here
}

extension Session {
  /// Reads the state; it seals first, if the login may write.
  ///
  /// - Throws: `OPS_012` if another transaction blocks it at a table, with that transaction.
  public func status() throws(OpsError) -> LedgerStatus {
    do throws(OpsError) { return try askStatus() } catch {
      guard error.isLockTimeout else { throw error }
      throw LockHolders.refusal("the tables cannot be read", self, all: false)
    }
  }

  private func askStatus() throws(OpsError) -> LedgerStatus {
    var status = LedgerStatus()
    status.sealed = try sealed()
    status.instanceState = try instanceState()
    status.taskLeases = try taskLeases()
    let connection = try connection()
    status.database = connection.database
    let answers = try onDatabase { () throws(PostgresError) in
      try connection.pipeline(
        [
          Self.place, Self.queues, Self.missions, Self.lastHeartbeat, Self.appenders, Self.stored,
          Self.refused, Self.emptied, Self.quarantined, LockHolders.inTheWay,
        ].map { ($0, Parameters()) })
    }
    try status.take(appenders: answers[4])
    try status.take(quarantined: answers[8])
    status.lockHolders = try answers[9].texts()
    status.emptiedTables = try answers[7].texts()
    try onDatabase { () throws(PostgresError) in
      try status.take(place: answers[0])
      try status.take(queues: answers[1])
      for row in 0..<answers[2].count {
        status.missions24h[try answers[2].text(row, 0)] = try answers[2].int8(row, 1)
      }
      if answers[3].count == 1 {
        status.heartbeat = LedgerStatus.Heartbeat(
          at: Instant(micros: try answers[3].timestamptz(0, 0)),
          succeeded: try answers[3].bool(0, 1))
      }
      status.stored = try answers[5].int8IfPresent(0, 0)
      status.unstoredSince = try answers[5].timestamptzIfPresent(0, 1).map(Instant.init(micros:))
      status.refusedToday = try answers[6].int8(0, 0)
    }
    return status
  }

  /// When the first event after an entry was recorded; nil if there is none.
  public func firstRecorded(after entry: Int64) throws(OpsError) -> Instant? {
    let rows = try query(
      Statement(
        """
        SELECT e.recorded_at FROM ledger.events AS e WHERE e.entry > $1::bigint
        ORDER BY e.entry, e.index LIMIT 1
        """), Parameters(entry))
    return try onDatabase { () throws(PostgresError) in
      rows.isEmpty ? nil : Instant(micros: try rows.timestamptz(0, 0))
    }
  }

  private static let refused = Statement(
    """
    SELECT count(*) FROM public.ops_mission_proposals AS p WHERE p.policy_snapshot ? 'gate_refused'
      AND p.created_at >= date_trunc('day', (SELECT ledger.now()) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
      AND p.created_at < (date_trunc('day', (SELECT ledger.now()) AT TIME ZONE 'UTC') + interval '1 day')
        AT TIME ZONE 'UTC'
    """)
  /// Only for empty tables, and only by both ends of the log; `verify` reads the whole log.
  private static let emptied = Statement(
    RowType.allCases.filter(\.isOfTheEight).map { rowType in
      """
      SELECT '\(TableText.of(rowType).table)' WHERE NOT EXISTS (SELECT FROM public.\(TableText.of(rowType).table))
        AND EXISTS (SELECT FROM (
            (SELECT e.stream, e.type FROM ledger.events AS e ORDER BY e.entry LIMIT 50000)
            UNION ALL (SELECT e.stream, e.type FROM ledger.events AS e ORDER BY e.entry DESC LIMIT 50000)
          ) AS s WHERE starts_with(s.type, '\(rowType.rawValue).')
            AND NOT EXISTS (SELECT FROM ledger.tombstones AS t WHERE t.stream = s.stream))
      """
    }.joined(separator: "\nUNION ALL ") + "\nORDER BY 1")

  private static let place = Statement(
    """
    SELECT ledger.now(), current_setting('server_version'),
      (SELECT max(name) FROM ledger.migrations WHERE name NOT LIKE '%/%'),
      (SELECT last_value FROM ledger.entry_sequence)
    """)
  private static let queues = Statement(
    """
    SELECT (SELECT count(*) FROM public.ops_agent_events WHERE processed_at IS NULL),
      (SELECT count(*) FROM public.ops_agent_reactions WHERE status = 'queued'),
      (SELECT count(*) FROM public.ops_mission_proposals WHERE status IN ('pending', 'voting')),
      (SELECT count(*) FROM public.ops_mission_steps WHERE status = 'queued'),
      (SELECT count(*) FROM public.ops_mission_steps WHERE status = 'running'),
      (SELECT count(*) FROM public.ops_mission_steps WHERE status = 'failed' AND failure_count > 0
        AND updated_at BETWEEN (SELECT ledger.now()) - interval '24 hours' AND (SELECT ledger.now()))
    """)
  private static let missions = Statement(
    """
    SELECT status, count(*) FROM public.ops_missions
    WHERE created_at BETWEEN (SELECT ledger.now()) - interval '24 hours' AND (SELECT ledger.now())
    GROUP BY status
    """)
  private static let lastHeartbeat = Statement(
    """
    SELECT created_at, type = 'heartbeat:success' FROM public.ops_agent_events
    WHERE type IN ('heartbeat:success', 'heartbeat:failure') AND created_at <= (SELECT ledger.now())
    ORDER BY created_at DESC LIMIT 1
    """)
  private static let stored = Statement(
    """
    SELECT c.entry, (SELECT e.recorded_at FROM ledger.events AS e WHERE e.entry > c.entry
      ORDER BY e.entry, e.index LIMIT 1)
    FROM (SELECT max(c.entry) AS entry FROM ledger.checkpoints AS c WHERE c.root IS NOT NULL) AS c
    """)
  private static let quarantined = Statement(
    """
    SELECT p.row_type, p.stream, p.why, p.since, p.name, count(*) OVER () FROM ledger.quarantine AS p
    ORDER BY p.since, p.stream LIMIT 10
    """)
  private static let appenders = Statement(
    """
    SELECT f.pid, a.usename::text, a.application_name, a.xact_start, f.bound
    FROM ledger.appends_in_flight() AS f LEFT JOIN pg_stat_activity AS a ON a.pid = f.pid
    WHERE a.xact_start IS NULL OR a.xact_start < clock_timestamp() - interval '1 second'
    ORDER BY f.bound LIMIT 100
    """)
}

extension LedgerStatus {
  fileprivate mutating func take(place: Rows) throws(PostgresError) {
    now = Instant(micros: try place.timestamptz(0, 0))
    server = try place.text(0, 1)
    lastMigration = try place.textIfPresent(0, 2) ?? "none"
    allocated = try place.int8(0, 3)
  }

  fileprivate mutating func take(queues: Rows) throws(PostgresError) {
    unprocessedEvents = try queues.int8(0, 0)
    queuedReactions = try queues.int8(0, 1)
    pendingProposals = try queues.int8(0, 2)
    steps = ["queued": try queues.int8(0, 3), "running": try queues.int8(0, 4)]
    deadLetters24h = try queues.int8(0, 5)
  }

  fileprivate mutating func take(quarantined rows: Rows) throws(OpsError) {
    quarantined = try rows.map { (row) throws(PostgresError) in
      QuarantinedRow(
        rowType: try rows.text(row, 0), row: StreamID(try rows.uuid(row, 1)),
        why: try rows.text(row, 2), since: Instant(micros: try rows.timestamptz(row, 3)),
        by: try rows.text(row, 4))
    }
    if rows.isEmpty { return }
    quarantinedCount = try onDatabase { () throws(PostgresError) in try rows.int8(0, 5) }
  }

  fileprivate mutating func take(appenders rows: Rows) throws(OpsError) {
    appenders = try rows.map { (row) throws(PostgresError) in
      Appender(
        bound: try rows.int8(row, 4), pid: try rows.int4IfPresent(row, 0),
        user: try rows.textIfPresent(row, 1), application: try rows.textIfPresent(row, 2),
        since: try rows.timestamptzIfPresent(row, 3).map(Instant.init(micros:)))
    }
  }
}
