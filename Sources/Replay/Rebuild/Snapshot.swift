import Ledger
import Log
import Postgres
import Synchronization
import Threads

/// One database snapshot that several connections use.
final class SharedSnapshot {
  let id: String
  private let session: Session

  /// Opens a transaction on `session` that keeps the snapshot until ``end()``. No partition of the log can be archived
  /// meanwhile.
  init(_ session: Session) throws(OpsError) {
    self.session = session
    let connection = try session.connection()
    do throws(PostgresError) {
      // Lock first: a partition that is dropped between snapshot and scan would read as empty.
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

  /// Begins a transaction with the same snapshot on another session.
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

  /// Behind a pooler, this snapshot's own connection for the one thread that reads: the pool may have only two, and the
  /// session that builds tables needs the other. Nothing else may use the connection until that thread has ended.
  func lent() throws(OpsError) -> LentReader? {
    guard session.isPooled else { return nil }
    let reader = try reader()
    try onDatabase { () throws(PostgresError) in
      try reader.connection.execute("SET LOCAL enable_seqscan = off")
    }
    return LentReader(reader: reader)
  }

  func reader() throws(OpsError) -> LogReader {
    try LogReader(session.target, on: session.connection())
  }
}

/// Carries a reader to the thread that uses it.
struct LentReader: @unchecked Sendable {
  // Unchecked: the lender does not use it meanwhile.
  let reader: LogReader
}

/// How far a replay is.
public final class ReplayProgress: Sendable {
  private let read = Atomic<Int>(0)
  private let report: @Sendable (Int, Int) -> Void
  private let total = Atomic<Int>(0)

  /// - Parameter report: Called repeatedly with the number of events read and an estimate of all.
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
  /// One reader a core; at least two, so that one reads while the other folds; at most four, as each holds a slice in
  /// memory.
  static let workers = min(max(coreCount, 2), 4)
  /// Rows that one slice should hold at most, at about 400 bytes each.
  static let rowsMax = 250_000

  /// Into how many slices to divide a log with that many rows.
  static func count(rows: Int, rowsMax: Int = rowsMax, countMin: Int = workers) -> Int {
    max(countMin, (rows + rowsMax - 1) / rowsMax)
  }

  /// Folds the slice's events of these entries; nil for all.
  func fold(
    on reader: LogReader, entries: ClosedRange<Int64>? = nil, _ progress: ReplayProgress
  ) throws(OpsError) -> Fold {
    var fold = Fold()
    try read(into: &fold, on: reader, entries: entries, progress)
    fold.finish()
    return fold
  }

  /// Continues a fold with the slice's events: archived events first, then those in the database.
  func read(
    into fold: inout Fold, on log: LogReader, entries: ClosedRange<Int64>?,
    _ progress: ReplayProgress
  ) throws(OpsError) {
    var reported = fold.eventCount
    func report(_ count: Int) {
      progress.add(count - reported)
      reported = count
    }
    try log.archived(entries, archivedStreams(log)) { (event) throws(OpsError) in
      if holds(type: event.type) { fold.take(event) }
      if fold.eventCount & 0x3FFF == 0 { report(fold.eventCount) }
    }
    if let entries, entries.upperBound <= log.archivedLast { return }
    do throws(PostgresError) {
      if isJoin { try log.connection.execute("SET LOCAL enable_nestloop = off") }
      let reader = try log.connection.copyReader(events(entries))
      while let row = try reader.next() {
        try fold.take(row)
        if fold.eventCount & 0x3FFF == 0 { report(fold.eventCount) }
      }
    } catch {
      throw OpsError(database: error)
    }
    report(fold.eventCount)
  }
}

extension Session {
  /// How many sessions read, besides the one with the snapshot. A pooler's pool may have two connections for both.
  var readers: Int { isPooled ? 1 : Slice.workers }

  /// About how many rows the log folds to, and how many events it has, from the statistics. Without statistics, as in a
  /// restore, the sizes of the partitions give an estimate that is rather too great: too large slices cost memory.
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
    let events = Int(try onDatabase { () throws(PostgresError) in try answer.int8(0, 0) })
    // A mission with one step has 16 events and 8 rows.
    return (events / 2, events)
  }
}
