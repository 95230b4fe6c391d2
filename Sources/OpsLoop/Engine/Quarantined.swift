public import Ledger
import Log
import Postgres

/// A row that the loop left alone: it cannot be decided over, or the database refuses what would come of
/// it. The rows beside it went on.
public struct Quarantined: Equatable, Sendable {
  public let rowType: RowType
  public let row: StreamID
  public let error: OpsError
}

extension Quarantined: CustomStringConvertible {
  /// A line: which row, why, and what to do.
  public var description: String {
    "\(rowType.rawValue) \(row) is passed over: \(error)" + (error.hint.map { "; \($0)" } ?? "")
  }
}

/// The rows that an engine passes over, each for a while: it is tried again after a minute, and after
/// twice as long each time that it fails again.
struct QuarantinedRows {
  private struct Row {
    var passed: Quarantined
    var triedAgainAt: Double
    var delay: Double
  }

  private static let delayMin = 60.0
  private static let delayMax = 3600.0

  private var rows: [StreamID: Row] = [:]
  /// Those that nobody has been told of yet.
  private var untold: [StreamID] = []

  var isEmpty: Bool { rows.isEmpty }
  var all: [Quarantined] { rows.values.map(\.passed) }

  /// What a batch leaves out now.
  var skipped: [StreamID] {
    if rows.isEmpty { return [] }
    let now = monotonicSeconds()
    return rows.filter { $0.value.triedAgainAt > now }.map(\.key)
  }

  mutating func add(_ passed: Quarantined) {
    let known = rows[passed.row]
    if known == nil { untold.append(passed.row) }
    let delay = min(known.map { $0.delay * 2 } ?? Self.delayMin, Self.delayMax)
    rows[passed.row] = Row(
      passed: passed, triedAgainAt: monotonicSeconds() + delay, delay: delay)
  }

  /// It was decided over after all.
  mutating func remove(_ row: StreamID) { if !rows.isEmpty { rows[row] = nil } }

  /// Those that are told for the first time.
  mutating func takeUntold() -> [Quarantined] {
    defer { untold = [] }
    return untold.compactMap { rows[$0]?.passed }
  }
}

/// One attempt at a batch: how many rows it may take, and what became of each.
final class Batch {
  let limit: Int
  let skipped: [StreamID]
  /// Whether its one member is tried alone, after a batch with it had failed.
  let isAlone: Bool
  var lockWait: LockWait { isAlone ? .brief : .once }
  /// The rows that this attempt decides over.
  private(set) var members: [(rowType: RowType, row: StreamID)] = []
  private(set) var passed: [StreamID: Quarantined] = [:]
  /// Whether there were more rows than it could hold.
  var hasLeftSome = false
  private var current: (rowType: RowType, row: StreamID)?

  init(limit: Int, skipped: [StreamID], isAlone: Bool) {
    self.limit = limit
    self.skipped = skipped
    self.isAlone = isAlone
  }

  /// Decides over the members; begins anew without one that cannot be decided over.
  ///
  /// - Parameter body: Calls ``enter(_:_:)`` for each member before it looks at it, and ``leave()`` after the last.
  func decide<Answer>(
    _ draft: inout Draft, _ body: (inout Draft) throws(OpsError) -> Answer
  ) throws(OpsError) -> Answer {
    let blank = draft
    while true {
      (members, current) = ([], nil)
      do throws(OpsError) { return try body(&draft) } catch {
        guard let current, error.isOfARow else { throw error }
        passed[current.row] = Quarantined(rowType: current.rowType, row: current.row, error: error)
        draft = blank
      }
    }
  }

  /// Reads a row that may become a member.
  ///
  /// - Returns: Nil where it is passed over, or cannot be read and is from now on.
  func read<Row>(
    _ rowType: RowType, _ row: StreamID, _ body: () throws(OpsError) -> Row
  ) throws(OpsError) -> Row? {
    guard passed[row] == nil else { return nil }
    do throws(OpsError) { return try body() } catch {
      guard error.code == .inconsistentRow else { throw error }
      passed[row] = Quarantined(rowType: rowType, row: row, error: error)
      return nil
    }
  }

  /// Leaves out a row that was never a member.
  func pass(_ rowType: RowType, _ row: StreamID, _ error: OpsError) {
    passed[row] = Quarantined(rowType: rowType, row: row, error: error)
  }

  /// - Returns: False where the member is passed over.
  func enter(_ rowType: RowType, _ row: StreamID) -> Bool {
    guard passed[row] == nil else { return false }
    current = (rowType, row)
    members.append((rowType, row))
    return true
  }

  /// What is decided from here on concerns this member.
  func look(at rowType: RowType, _ row: StreamID) { current = (rowType, row) }

  func leave() { current = nil }

  /// The statement's parameters: how many rows, and which not.
  func append(to parameters: inout Parameters) {
    parameters.int8(Int64(limit))
    parameters.uuids(skipped)
  }
}

extension OpsError {
  /// Whether it can be one row's fault. What is the matter with the whole database is said as it is.
  var isOfARow: Bool { code != .databaseUnreachable && self != .policiesChanged }

  /// Whether a key that follows from a rule of the ledger is somebody else's already.
  var isOfATakenKey: Bool {
    ["ops_action_runs_run_id_key", "ops_agent_events_dedupe_key_key"].contains(
      database?.constraint)
  }
}

extension Engine {
  /// Runs one batch. Where it fails as a whole, its members are tried one by one: the database does not
  /// say whose fault it was. Who fails alone is passed over.
  ///
  /// - Parameter attempt: Performs the batch's command, and adds what it did to what was done before.
  func inBatches(
    limit: Int, _ attempt: (Batch) throws(OpsError) -> Void
  ) throws(OpsError) {
    guard limit > 0 else { return }
    let batch = Batch(limit: limit, skipped: quarantined.skipped, isAlone: false)
    do throws(OpsError) {
      try attempt(batch)
      note(batch)
      hasLeftSome = hasLeftSome || batch.hasLeftSome
      // A batch of bad rows alone is not the end of the queue.
      if batch.passed.isEmpty || batch.members.count > 0 { return }
    } catch {
      guard error.isOfARow, !batch.members.isEmpty else { throw error }
      note(batch, failed: true)
    }
    try oneByOne(limit, attempt)
  }

  /// The rows that were passed over, each told once.
  public func takeQuarantined() -> [Quarantined] { quarantined.takeUntold() }

  private func oneByOne(
    _ limit: Int, _ attempt: (Batch) throws(OpsError) -> Void
  ) throws(OpsError) {
    var (done, failed) = (0, 0)
    while done < limit, failed < Self.failedMax {
      let batch = Batch(limit: 1, skipped: quarantined.skipped, isAlone: true)
      do throws(OpsError) {
        try attempt(batch)
        note(batch)
        if batch.members.isEmpty && batch.passed.isEmpty { return }
        done += batch.members.count
        failed += batch.passed.count
      } catch {
        guard error.isOfARow, let (rowType, row) = batch.members.first else { throw error }
        quarantined.add(Quarantined(rowType: rowType, row: row, error: error))
        failed += 1
      }
    }
  }

  /// Rows that one batch passes over, at most: the next one takes the others.
  private static let failedMax = 1000

  private func note(_ batch: Batch, failed: Bool = false) {
    for passed in batch.passed.values { quarantined.add(passed) }
    if !failed, !quarantined.isEmpty {
      for member in batch.members { quarantined.remove(member.row) }
    }
  }
}

// MARK: - For status and doctor

extension Quarantined {
  /// Notes of who has not looked for a while, or of a clock that was ahead, say nothing any more.
  static let forget = Statement(
    """
    DELETE FROM ledger.quarantine WHERE seen_at NOT BETWEEN clock_timestamp() - interval '2 hours'
      AND clock_timestamp() + interval '1 minute'
    """)
}

extension Engine {
  private static let writeQuarantined = Statement(
    """
    INSERT INTO ledger.quarantine AS p (name, stream, row_type, why, since, seen_at)
    SELECT $1::text, v.stream, v.row_type, v.why, clock_timestamp(), clock_timestamp()
    FROM unnest($2::uuid[], $3::text[], $4::text[]) AS v (stream, row_type, why)
    ON CONFLICT (name, stream) DO UPDATE SET why = excluded.why, seen_at = excluded.seen_at
    """)
  private static let removeQuarantined = Statement(
    "DELETE FROM ledger.quarantine WHERE name = $1::text AND stream <> ALL ($2::uuid[])")
  private static let whyBytesMax = 500

  /// Writes down what this engine passes over, for `status` and `doctor`: in a table that nothing goes by.
  func noteQuarantined(as name: String) throws(OpsError) {
    let rows = quarantined.all
    var (write, remove) = (Parameters(), Parameters())
    write.text(name)
    write.uuids(rows.map(\.row))
    write.texts(rows.map(\.rowType.rawValue))
    write.texts(rows.map { String($0.error.description.prefix(Self.whyBytesMax)) })
    remove.text(name)
    remove.uuids(rows.map(\.row))
    _ = try session.query(all: [(Self.writeQuarantined, write), (Self.removeQuarantined, remove)])
  }
}
