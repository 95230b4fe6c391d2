public import Ledger
import Log
import Postgres

/// The row whose content and copies an erasure removes.
public enum ErasureTarget: Equatable, Sendable {
  case mission(StreamID)
  case event(StreamID)
  /// Any row but the ledger's own, such as a row with the same words.
  case row(StreamID)

  /// The row, its type (nil if any type will do), and the error if there is no such row.
  fileprivate var row: (id: StreamID, rowType: RowType?, notFound: OpsError) {
    switch self {
    case .mission(let id): (id, .mission, .notFound("mission", id))
    case .event(let id): (id, .agentEvent, .notFound("event", id))
    case .row(let id):
      (
        id, nil,
        OpsError(
          .notFound, "no row that can be erased has the id \(id)",
          hint: "see `opsledger log show`; the ledger's own row is never erased",
          facts: ["row_id": id.description])
      )
    }
  }
}

public struct ErasureReport: Sendable {
  /// Rows whose content is erased, including archived ones, by row type.
  public var rows: [RowType: Int] = [:]
  /// Rows that were erased before.
  public var erasedBefore = 0
  /// Events whose content was erased.
  public var events = 0
  /// The entry that records the erasure; nil for a dry run, and if nothing was left to erase.
  public var entry: Int64?
  /// Other rows that have the same words and stay.
  public var sameWords = SameWordsReport()
  /// Why the server's column statistics may still have the text; nil if they were replaced.
  public var statistics: OpsError?
}

extension Engine {
  /// Erases the content of a row and of all rows that hold a copy of it, in one entry with an `erased` event for each
  /// row.
  ///
  /// - Parameter onlyLooking: Whether to report what an erasure would do, and do nothing.
  /// - Throws: `OPS_011`; `OPS_012` if the mission, or a mission that holds a copy, has not ended: its steps would run
  ///   without their params.
  public func erase(
    _ target: ErasureTarget, why: String, onlyLooking: Bool = false
  ) throws(OpsError) -> ErasureReport {
    // Under its locks, the command repeats the search to find copies that were made meanwhile.
    for _ in 0..<Self.lookingMax {
      let search = try copies(of: target)
      let held = try session.heldRows(search.rows)
      let found = search.holders
      let due = found.filter { $0.isDue && $0.rowType != .ledger }
      var report = ErasureReport(erasedBefore: found.count - due.count)
      for holder in due { report.rows[holder.rowType, default: 0] += 1 }
      report.sameWords = try SameWordsSearch.run(
        due: due.map(\.stream), holders: found.map(\.stream), session)
      if onlyLooking {
        if !due.isEmpty { try refuseUnready(search, due, held) }
        return report
      }
      if !due.isEmpty {
        guard let entry = try erase(search, due, held, why) else { continue }
        report.entry = entry
        report.events = try erasedEvents(of: due)
      }
      // An interrupted erasure may have left the statistics.
      report.statistics = forgetStatistics()
      return report
    }
    throw OpsError(
      .conflict, "new copies of the content were made during each attempt to erase it",
      hint: "try again")
  }

  private static let lookingMax = 10

  /// - Throws: `OPS_011` if there is no such row.
  private func copies(of target: ErasureTarget) throws(OpsError) -> CopySearch {
    let row = target.row
    let rowType: RowType? =
      if let known = row.rowType { known } else { try session.rowType(of: row.id) }
    guard let rowType, rowType != .ledger else { throw row.notFound }
    var search = CopySearch(of: row.id, session)
    try search.run()
    guard search.holders.first(where: { $0.stream == row.id })?.rowType == rowType else {
      throw row.notFound
    }
    return search
  }

  /// - Returns: The entry; nil if a copy was made, or a hold placed or released, meanwhile.
  private func erase(
    _ search: CopySearch, _ due: [CopyHolder], _ held: HeldRows, _ why: String
  ) throws(OpsError) -> Int64? {
    let content = Parameters {
      $0.uuids(due.map(\.stream))
      $0.uuids(search.archivedKeys)
    }
    var reads = Reads()
    // Parents before children, as everywhere.
    let loads = RowType.allCases.filter { $0 != .ledger }.map {
      Self.lock($0.type, Self.locked(search, due), &reads)
    }
    let tombstones = reads.tombstones(due.map(\.stream))
    _ = reads.add(Session.lockRetention)
    let copies = reads.add(search.question)
    let holds = reads.rows(of: Hold.self, HeldRows.inForce)
    var command = Command(reads) { (found, draft) throws(OpsError) in
      guard try search.isSame(try found[copies]), held.isOf(try found[holds]) else { return }
      try Self.refuse(held, search)
      for load in loads { try load(found, &draft) }
      try Self.loadTombstones(try found[tombstones], due, &draft)
      for mission in draft.missions.rows where mission.row.isOpen {
        throw Self.isOpen(mission.row)
      }
      for holder in due { draft.erase(holder.rowType.type, holder.stream, why) }
    }
    command.afterwards = [
      (Self.becomeRepairRole, Parameters()), (Self.eraseContent, content),
      (Self.becomeOneself, Parameters()),
    ]
    return try perform(command).entry
  }

  /// The rows that are erased, and the missions whose rows hold a copy.
  private static func locked(_ search: CopySearch, _ due: [CopyHolder]) -> Parameters {
    Parameters { $0.uuids(Set(due.map(\.stream)).union(search.missions)) }
  }

  /// Locks and reads the rows of one type.
  ///
  /// - Returns: Loads them into a draft.
  private static func lock<R: Row>(
    _ rowType: R.Type, _ streams: Parameters, _ reads: inout Reads
  ) -> (Found, inout Draft) throws(OpsError) -> Void {
    let read = reads.rows(of: R.self, .locking(R.self), streams)
    return { (found, draft) throws(OpsError) in
      for row in try found[read] {
        guard let stream = R.stream(of: row) else { continue }
        try draft.load(row, as: stream)
      }
    }
  }

  private static let openMissions = Statement(
    """
    SELECT \(Mission.select("m")) FROM public.ops_missions AS m
    WHERE m.id = ANY ($1::uuid[]) AND m.status IN ('approved', 'running') ORDER BY m.id
    """)

  /// Throws the error with which an erasure would be refused now.
  private func refuseUnready(
    _ search: CopySearch, _ due: [CopyHolder], _ held: HeldRows
  ) throws(OpsError) {
    try Self.refuse(held, search)
    let missions = try session.query(Self.openMissions, Self.locked(search, due))
    if let open = try missions.rows(of: Mission.self).first { throw Self.isOpen(open) }
  }

  private static func isOpen(_ mission: Mission) -> OpsError {
    OpsError(
      .conflict, "mission \(mission.id) is \(mission.status.rawValue) and cannot be erased",
      hint: "erase it when it has ended: its steps cannot run without their params",
      facts: ["mission_id": mission.id.description])
  }

  private static func refuse(_ held: HeldRows, _ search: CopySearch) throws(OpsError) {
    guard let hold = held.hold(onAnyOf: search.rows) else { return }
    throw OpsError(
      .notAllowed, "hold \(hold) forbids the erasure",
      hint: "see `opsledger hold list`; release the hold before the erasure",
      facts: ["hold_id": hold.description])
  }

  private static func loadTombstones(
    _ versions: [StreamID: Int32], _ due: [CopyHolder], _ draft: inout Draft
  ) throws(OpsError) {
    for holder in due where !draft.isLoaded(holder.stream, of: holder.rowType.type) {
      guard let version = versions[holder.stream], version == holder.version ?? version else {
        throw OpsError(
          .inconsistentRow,
          "\(holder.rowType.rawValue) \(holder.stream) is in the log, but has neither a row nor a tombstone",
          hint: "see `opsledger verify`; `opsledger rebuild` repairs it")
      }
      try draft.load(tombstone: version, of: holder.rowType.type, as: holder.stream)
    }
  }

  private func erasedEvents(of due: [CopyHolder]) throws(OpsError) -> Int {
    let rows = try session.readBack(
      Self.countErased, Parameters { $0.uuids(due.map(\.stream)) })
    return Int(try onDatabase { () throws(PostgresError) in try rows.int8(0, 0) })
  }

  /// Replaces the server's column statistics: they hold samples, which anyone who reads the tables can see.
  ///
  /// - Returns: Why it could not.
  private func forgetStatistics() -> OpsError? {
    do throws(OpsError) {
      try session.forgetStatistics()
      return nil
    } catch { return error }
  }

  private static let becomeRepairRole = Statement("SET LOCAL ROLE opsledger_repair")
  private static let becomeOneself = Statement("RESET ROLE")
  private static let eraseContent = Statement("SELECT ledger.erase_content($1::uuid[], $2::uuid[])")
  private static let countErased = Statement(
    """
    SELECT count(*) FROM ledger.events AS e
    WHERE e.stream = ANY ($1::uuid[]) AND e.commitment IS NOT NULL
    """)
}

extension Draft {
  fileprivate func isLoaded<R: Row>(_ stream: StreamID, of rowType: R.Type) -> Bool {
    row(stream, of: R.self) != nil
  }

  fileprivate mutating func erase<R: Row>(_ rowType: R.Type, _ stream: StreamID, _ why: String) {
    append(StreamEvent<R>.common(.erased(why: why)), to: stream)
  }
}
