public import Ledger
import Log
import Postgres

/// A quarantined row: the loop cannot process it, or the database refuses the result.
public struct Quarantined: Equatable, Sendable {
  public let rowType: RowType
  public let row: StreamID
  public let error: OpsError
}

extension Quarantined: CustomStringConvertible {
  /// A line with the row, the reason and what to do.
  public var description: String {
    "\(rowType.rawValue) \(row) is quarantined: \(error)" + (error.hint.map { "; \($0)" } ?? "")
  }
}

/// The rows that an engine has quarantined. It tries a row again after a minute, and after twice as long each time that
/// the row fails again.
struct QuarantinedRows {
  private struct Retry {
    var passed: Quarantined
    var triedAgainAt: Double
    var delay: Double
  }

  private static let delayMin = 60.0
  private static let delayMax = 3600.0

  private var rows: [StreamID: Retry] = [:]
  /// Rows that no report has named yet.
  private var untold: [StreamID] = []

  var isEmpty: Bool { rows.isEmpty }
  var all: [Quarantined] { rows.values.map(\.passed) }

  /// The rows that a batch leaves out now.
  var skipped: [StreamID] {
    if rows.isEmpty { return [] }
    let now = monotonicSeconds()
    return rows.filter { $0.value.triedAgainAt > now }.map(\.key)
  }

  mutating func add(_ passed: Quarantined) {
    let known = rows[passed.row]
    if known == nil { untold.append(passed.row) }
    let delay = min(known.map { $0.delay * 2 } ?? Self.delayMin, Self.delayMax)
    rows[passed.row] = Retry(
      passed: passed, triedAgainAt: monotonicSeconds() + delay, delay: delay)
  }

  /// Ends the quarantine of a row that was processed.
  mutating func remove(_ row: StreamID) { if !rows.isEmpty { rows[row] = nil } }

  /// The rows that no report has named yet.
  mutating func takeUntold() -> [Quarantined] {
    defer { untold = [] }
    return untold.compactMap { rows[$0]?.passed }
  }
}

/// One attempt at a batch: how many rows it may have, and which of them failed.
final class Batch {
  let limit: Int
  let skipped: [StreamID]
  /// Whether it has one member, because a batch with that member failed.
  let isAlone: Bool
  var lockWait: LockWait { isAlone ? .brief : .once }
  /// The rows that this attempt processes.
  private(set) var members: [(rowType: RowType, row: StreamID)] = []
  private(set) var passed: [StreamID: Quarantined] = [:]
  /// Whether it had to leave rows to the next batch.
  var hasLeftSome = false
  private var current: (rowType: RowType, row: StreamID)?

  init(limit: Int, skipped: [StreamID], isAlone: Bool) {
    self.limit = limit
    self.skipped = skipped
    self.isAlone = isAlone
  }

  /// Runs a decision over the members, and runs it again without each member that fails it.
  ///
  /// - Parameter body: Calls ``enter(_:_:)`` before it processes a member, and ``leave()`` after the last.
  func decide<Answer>(
    _ draft: inout Draft, _ body: (inout Draft) throws(OpsError) -> Answer
  ) throws(OpsError) -> Answer {
    let blank = draft
    while true {
      (members, current) = ([], nil)
      do throws(OpsError) { return try body(&draft) } catch {
        guard let current, error.isOfARow else { throw error }
        pass(current.rowType, current.row, error)
        draft = blank
      }
    }
  }

  /// Reads a row that may become a member.
  ///
  /// - Returns: Nil if the row failed before, or cannot be read.
  func read<Value>(
    _ rowType: RowType, _ row: StreamID, _ body: () throws(OpsError) -> Value
  ) throws(OpsError) -> Value? {
    guard passed[row] == nil else { return nil }
    do throws(OpsError) { return try body() } catch {
      guard error.code == .inconsistentRow else { throw error }
      pass(rowType, row, error)
      return nil
    }
  }

  /// Leaves out a row from now on.
  func pass(_ rowType: RowType, _ row: StreamID, _ error: OpsError) {
    passed[row] = Quarantined(rowType: rowType, row: row, error: error)
  }

  /// Begins with a member. An error from here on concerns it.
  ///
  /// - Returns: False if the row failed before.
  func enter(_ rowType: RowType, _ row: StreamID) -> Bool {
    guard passed[row] == nil else { return false }
    current = (rowType, row)
    members.append((rowType, row))
    return true
  }

  /// Returns to a member. An error from here on concerns it.
  func look(at rowType: RowType, _ row: StreamID) { current = (rowType, row) }

  /// An error from here on concerns no member.
  func leave() { current = nil }

  /// Appends the number of rows to read, and the rows to leave out.
  func append(to parameters: inout Parameters) {
    parameters.int8(Int64(limit))
    parameters.uuids(skipped)
  }
}

extension OpsError {
  /// Whether one row can be the cause.
  var isOfARow: Bool { code != .databaseUnreachable && self != .policiesChanged }

  /// Whether another row has a key that the ledger derived.
  var isOfATakenKey: Bool {
    ["ops_action_runs_run_id_key", "ops_agent_events_dedupe_key_key"].contains(
      database?.constraint)
  }
}

extension Engine {
  /// Runs one batch. If it fails as a whole, its members are tried one by one, since the database does not name the
  /// cause. A member that fails alone is quarantined.
  ///
  /// - Parameter attempt: Runs the batch's command, and adds to the caller's sums.
  func inBatches(
    limit: Int, _ attempt: (Batch) throws(OpsError) -> Void
  ) throws(OpsError) {
    guard limit > 0 else { return }
    let batch = Batch(limit: limit, skipped: quarantined.skipped, isAlone: false)
    do throws(OpsError) {
      try attempt(batch)
      note(batch)
      hasLeftSome = hasLeftSome || batch.hasLeftSome
      // Good rows may follow a batch in which every row failed.
      if batch.passed.isEmpty || !batch.members.isEmpty { return }
    } catch {
      guard error.isOfARow, !batch.members.isEmpty else { throw error }
      note(batch, failed: true)
    }
    try oneByOne(limit, attempt)
  }

  /// The newly quarantined rows.
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

  /// At most so many rows fail in one call. The next call continues.
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
  /// Deletes notes that were not renewed for two hours, or that a clock which was ahead wrote.
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

  /// The parameter with the rows that a batch leaves out now.
  var notQuarantined: Parameters { Parameters(quarantined.skipped) }

  /// Writes the quarantined rows of this engine into a table for `status` and `doctor`. Nothing depends on the table.
  func noteQuarantined(as name: String) throws(OpsError) {
    let rows = quarantined.all
    let remove = Parameters {
      $0.text(name)
      $0.uuids(rows.map(\.row))
    }
    var write = remove
    write.texts(rows.map(\.rowType.rawValue))
    write.texts(rows.map { String($0.error.description.prefix(Self.whyBytesMax)) })
    _ = try session.query(all: [(Self.writeQuarantined, write), (Self.removeQuarantined, remove)])
  }
}
