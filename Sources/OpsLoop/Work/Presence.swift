public import Ledger
public import Log
import Postgres

/// A worker's word that it is there, and of what it passes over: written now and then, never with an append. Nothing
/// depends on it, so that a failure is left to whatever comes next on the connection.
struct Presence {
  private let options: Worker.Options
  private var hasQuarantined = false

  static let everySeconds = 5.0

  init(_ options: Worker.Options) { self.options = options }

  mutating func note(_ engine: Engine, running: Int, claimed: Int) {
    var parameters = Parameters()
    parameters.text(options.name)
    parameters.text(options.host)
    parameters.int4(options.pid)
    parameters.bool(options.watch)
    parameters.int4(Int32(clamping: options.concurrency))
    parameters.int4(Int32(clamping: running))
    parameters.int8(Int64(claimed))
    _ = try? engine.session.query(Self.write, parameters)
    noteQuarantined(engine)
  }

  mutating func leave(_ engine: Engine) {
    noteQuarantined(engine)
    var parameters = Parameters()
    parameters.text(options.name)
    _ = try? engine.session.query(Self.remove, parameters)
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
  /// Presence of the future is that of a clock which was ahead: who is still here has written again since.
  static let forget = Statement(
    """
    DELETE FROM ledger.workers WHERE seen_at NOT BETWEEN clock_timestamp() - interval '1 day'
      AND clock_timestamp() + interval '1 minute'
    """)
  /// Whether a worker was heard of within a minute.
  static func isHere(_ worker: String) -> String {
    "\(worker).seen_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() + interval '1 minute'"
  }
}

/// A worker as its last word has it.
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
  /// Not heard of for a minute: it is dead, or cut off.
  public var isGone: Bool
}

extension Session {
  private static let workers = Statement(
    """
    SELECT name, host, pid, watches, concurrency, running, claimed, started_at, seen_at,
      NOT (\(Presence.isHere("w")))
    FROM ledger.workers AS w ORDER BY seen_at DESC, name
    """)

  /// The workers that are there, the last heard of first.
  public func workers() throws(OpsError) -> [WorkerPresence] {
    let rows = try query(Self.workers)
    do {
      var workers: [WorkerPresence] = []
      for row in 0..<rows.count {
        workers.append(
          WorkerPresence(
            name: try rows.text(row, 0), host: try rows.text(row, 1), pid: try rows.int4(row, 2),
            watches: try rows.bool(row, 3), concurrency: try rows.int4(row, 4),
            running: try rows.int4(row, 5), claimed: try rows.int8(row, 6),
            startedAt: Instant(micros: try rows.timestamptz(row, 7)),
            seenAt: Instant(micros: try rows.timestamptz(row, 8)), isGone: try rows.bool(row, 9)))
      }
      return workers
    } catch {
      throw OpsError(database: error)
    }
  }
}
