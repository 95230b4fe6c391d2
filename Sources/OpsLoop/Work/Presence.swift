public import Ledger
public import Log
import Postgres

/// Writes now and then that a worker is there, and which rows it has quarantined. Nothing depends on this, so a failure
/// shows in the next statement on the connection.
struct Presence {
  private let options: Worker.Options
  private var hasQuarantined = false

  static let everySeconds = 5.0

  init(_ options: Worker.Options) { self.options = options }

  mutating func note(_ engine: Engine, running: Int, claimed: Int) {
    let parameters = Parameters {
      $0.text(options.name)
      $0.text(options.host)
      $0.int4(options.pid)
      $0.bool(options.watch)
      $0.int4(Int32(clamping: options.concurrency))
      $0.int4(Int32(clamping: running))
      $0.int8(Int64(claimed))
    }
    _ = try? engine.session.query(Self.write, parameters)
    noteQuarantined(engine)
  }

  mutating func leave(_ engine: Engine) {
    noteQuarantined(engine)
    _ = try? engine.session.query(Self.remove, Parameters(options.name))
  }

  private mutating func noteQuarantined(_ engine: Engine) {
    if engine.quarantined.isEmpty, !hasQuarantined { return }
    hasQuarantined = !engine.quarantined.isEmpty
    try? engine.noteQuarantined(as: options.name)
  }

  private static let write = Statement(
    """
    INSERT INTO ledger.workers AS w (name, host, pid, watches, concurrency, running, claimed,
      started_at, seen_at)
    VALUES ($1::text, $2::text, $3::integer, $4::boolean, $5::integer, $6::integer, $7::bigint,
      clock_timestamp(), clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET running = excluded.running, claimed = excluded.claimed,
      seen_at = excluded.seen_at
    """)
  private static let remove = Statement("DELETE FROM ledger.workers WHERE name = $1::text")
  /// A clock that was ahead wrote a time of the future. A worker that is still here has written again since.
  static let forget = Statement(
    """
    DELETE FROM ledger.workers WHERE seen_at NOT BETWEEN clock_timestamp() - interval '1 day'
      AND clock_timestamp() + interval '1 minute'
    """)
  /// SQL for whether a worker wrote within the last minute.
  static func isHere(_ worker: String) -> String {
    "\(worker).seen_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() + interval '1 minute'"
  }
}

/// The last state that a worker wrote.
public struct WorkerPresence: Equatable, Sendable {
  public var name: String
  public var host: String
  public var pid: Int32
  public var watches: Bool
  public var concurrency: Int32
  public var running: Int32
  public var claimed: Int64
  public var startedAt: Instant
  public var seenAt: Instant
  /// Whether it wrote nothing for a minute: it is dead, or cannot reach the database.
  public var isGone: Bool
}

extension Session {
  private static let workers = Statement(
    """
    SELECT name, host, pid, watches, concurrency, running, claimed, started_at, seen_at,
      NOT (\(Presence.isHere("w")))
    FROM ledger.workers AS w ORDER BY seen_at DESC, name
    """)

  /// All workers; the one that wrote last comes first.
  public func workers() throws(OpsError) -> [WorkerPresence] {
    let rows = try query(Self.workers)
    return try rows.map { (row) throws(PostgresError) in
      WorkerPresence(
        name: try rows.text(row, 0), host: try rows.text(row, 1), pid: try rows.int4(row, 2),
        watches: try rows.bool(row, 3), concurrency: try rows.int4(row, 4),
        running: try rows.int4(row, 5), claimed: try rows.int8(row, 6),
        startedAt: Instant(micros: try rows.timestamptz(row, 7)),
        seenAt: Instant(micros: try rows.timestamptz(row, 8)), isGone: try rows.bool(row, 9))
    }
  }
}
