import Ledger
import Log
import Postgres
import Synchronization
import Threads

/// One moment of the database, that several connections see at once.
final class SharedSnapshot {
  let id: String
  private let session: Session

  /// Opens a transaction on `session` that holds the moment until ``end()``. The log's partitions
  /// cannot leave meanwhile.
  init(_ session: Session) throws(OpsError) {
    self.session = session
    let connection = try session.connection()
    do throws(PostgresError) {
      // The lock first: a partition that is dropped between snapshot and scan would read as empty.
      try connection.begin(
        .snapshot,
        """
        LOCK TABLE ledger.events IN ACCESS SHARE MODE;
        SET LOCAL idle_in_transaction_session_timeout = 0
        """)
      id = try connection.query(Self.export).text(0, 0)
    } catch {
      throw OpsError(database: error)
    }
  }

  static let export = Statement("SELECT pg_export_snapshot()")

  func end() { try? session.connection().rollbackIfOpen() }

  /// Begins a transaction on another session that sees the same moment.
  static func join(_ id: String, _ session: Session) throws(OpsError) -> LogReader {
    let connection = try session.connection()
    do throws(PostgresError) {
      try connection.begin(
        .snapshot,
        """
        SET TRANSACTION SNAPSHOT '\(id)';
        SET LOCAL enable_seqscan = off;
        SET LOCAL idle_in_transaction_session_timeout = 0
        """)
    } catch {
      throw OpsError(database: error)
    }
    return try LogReader(session.target, on: connection)
  }

  /// Its own connection, for the one thread that reads, where another would be one too many: who builds tables has a
  /// connection too, and a pooler's pool may have two. Until that thread has ended nobody else uses it.
  func lent() throws(OpsError) -> LentReader? {
    guard session.isPooled else { return nil }
    let reader = try reader()
    try onDatabase { () throws(PostgresError) in
      try reader.connection.execute("SET LOCAL enable_seqscan = off")
    }
    return LentReader(reader: reader)
  }

  /// The log as the session that opened it sees it.
  func reader() throws(OpsError) -> LogReader {
    try LogReader(session.target, on: session.connection())
  }
}

/// A reader on its way to the thread that uses it.
struct LentReader: @unchecked Sendable {
  // Unchecked: who lends it does not use it meanwhile.
  let reader: LogReader
}

/// How a replay is divided, and how far it is.
public final class ReplayProgress: Sendable {
  private let read = Atomic<Int>(0)
  private let report: @Sendable (Int, Int) -> Void
  private let total = Atomic<Int>(0)

  /// - Parameter report: Called now and then with the events read and an estimate of all.
  public init(_ report: @escaping @Sendable (Int, Int) -> Void = { _, _ in }) {
    self.report = report
  }

  package func expect(_ events: Int) { total.store(events, ordering: .relaxed) }

  package func add(_ events: Int) {
    let now = read.wrappingAdd(events, ordering: .relaxed).newValue
    report(now, max(now, total.load(ordering: .relaxed)))
  }
}

extension Slice {
  /// A reader a core, two at least: one reads while the other folds. Each holds a slice in memory, so no more than four.
  static let workers = min(max(coreCount, 2), 4)
  /// Rows that one slice should hold at most: some 400 bytes each.
  static let rowsMax = 250_000

  /// How many slices a log of that many rows has.
  static func count(rows: Int, rowsMax: Int = rowsMax, countMin: Int = workers) -> Int {
    max(countMin, (rows + rowsMax - 1) / rowsMax)
  }

  /// Folds the events of this slice, all of them or those of these entries.
  func fold(
    on reader: LogReader, entries: ClosedRange<Int64>? = nil, _ progress: ReplayProgress
  ) throws(OpsError) -> Fold {
    var fold = Fold()
    try read(into: &fold, on: reader, entries: entries, progress)
    fold.finish()
    return fold
  }

  /// Goes on with a fold: what has left the database first, then what it holds.
  func read(
    into fold: inout Fold, on log: LogReader, entries: ClosedRange<Int64>?,
    _ progress: ReplayProgress
  ) throws(OpsError) {
    var reported = fold.eventCount
    try log.archived(entries, archivedStreams(log)) { (event) throws(OpsError) in
      if holds(type: event.type) { fold.take(event) }
      if fold.eventCount & 0x3FFF == 0 {
        progress.add(fold.eventCount - reported)
        reported = fold.eventCount
      }
    }
    if let entries, entries.upperBound <= log.archivedLast { return }
    do throws(PostgresError) {
      if isJoin { try log.connection.execute("SET LOCAL enable_nestloop = off") }
      let reader = try log.connection.copyReader(events(entries))
      while let row = try reader.next() {
        try fold.take(row)
        if fold.eventCount & 0x3FFF == 0 {
          progress.add(fold.eventCount - reported)
          reported = fold.eventCount
        }
      }
    } catch {
      throw OpsError(database: error)
    }
    progress.add(fold.eventCount - reported)
  }
}

extension Session {
  /// How many sessions read beside the one that holds the moment. A pooler's pool may have two connections for both.
  var readers: Int { isPooled ? 1 : Slice.workers }

  /// About how many rows the log folds to, and how many events it has: from the statistics, and where there are none,
  /// as in a restore, from the sizes, rather too many than too few: slices that are too large cost memory.
  func estimate() throws(OpsError) -> (rows: Int, events: Int) {
    let answer = try query(
      Statement(
        """
        SELECT coalesce(sum(CASE WHEN c.reltuples >= 0 AND c.relpages > 0
            THEN c.reltuples * pg_relation_size(c.oid) / 8192 / c.relpages
            ELSE pg_relation_size(c.oid) / 300 END), 0)::bigint
          + (SELECT coalesce(sum(d.events), 0)::bigint FROM ledger.confirmed_archived_partitions() AS d)
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ledger.events'::regclass
        """))
    do {
      let events = Int(try answer.int8(0, 0))
      // 16 events and 8 rows a mission with one step; a stream has at least one event.
      return (events / 2, events)
    } catch {
      throw OpsError(database: error)
    }
  }
}
