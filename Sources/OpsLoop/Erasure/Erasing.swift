import JSON
public import Ledger
import Log
import Postgres

/// What is to be erased: what it said, and every copy of that.
public enum ErasureTarget: Equatable, Sendable {
  case mission(StreamID)
  case event(StreamID)
  /// Any row but the ledger's own, by its stream: what a search for the same words found.
  case row(StreamID)

  var id: StreamID {
    switch self {
    case .mission(let id), .event(let id), .row(let id): id
    }
  }

  /// What the row must be; nil where it may be any.
  var rowType: RowType? {
    switch self {
    case .mission: .mission
    case .event: .agentEvent
    case .row: nil
    }
  }
}

extension ErasureTarget {
  fileprivate var notFound: OpsError {
    switch self {
    case .mission(let id): .notFound("mission", id)
    case .event(let id): .notFound("event", id)
    case .row(let id):
      OpsError(
        .notFound, "no row that can be erased has the id \(id)",
        hint: "see `opsledger log show`; the ledger's own row is never erased",
        facts: ["row_id": id.description])
    }
  }
}

/// What an erasure came to.
public struct ErasureReport: Sendable {
  /// Rows whose content goes, also those that have left, by noun.
  public var rows: [RowType: Int] = [:]
  /// Rows that were found and had been erased before.
  public var erasedBefore = 0
  /// Events whose content went.
  public var events = 0
  /// The entry that records it; nil where nothing was left to erase, or nothing was to be done.
  public var entry: Int64?
  /// Rows that stay and have the same words.
  public var sameWords = SameWordsReport()
  /// Why the server's samples of columns may still have the text; nil where they were taken anew.
  public var statistics: OpsError?
}

extension Engine {
  /// Erases the content of a mission or an agent event, and of everything that holds a copy of it: one entry, with
  /// an `erased` event for each row.
  ///
  /// - Parameter onlyLooking: Whether to say what it would do, and do nothing.
  /// - Throws: `OPS_011`; `OPS_012` for a mission that has not ended, whose steps would run without their params, and
  ///   for one that holds a copy.
  public func erase(
    _ target: ErasureTarget, why: String, onlyLooking: Bool = false
  ) throws(OpsError) -> ErasureReport {
    // What came of it meanwhile is found by asking again under its locks.
    for _ in 0..<Self.lookingMax {
      let search = try copies(of: target)
      let held = try session.heldRows(search.rows)
      let found = search.holders
      let due = found.filter(\.isDue)
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
      // Also where one that was cut short had erased everything else.
      report.statistics = forgetStatistics()
      return report
    }
    throw OpsError(
      .conflict, "something more came of it each time it was looked at", hint: "try again")
  }

  private static let lookingMax = 10

  /// - Throws: `OPS_011` where there is no such row.
  private func copies(of target: ErasureTarget) throws(OpsError) -> CopySearch {
    var rowType = target.rowType
    if rowType == nil { rowType = try session.rowType(of: target.id) }
    guard let rowType, rowType != .ledger else { throw target.notFound }
    var search = CopySearch(of: target.id, session)
    try search.run()
    guard search.holders.first(where: { $0.stream == target.id })?.rowType == rowType else {
      throw target.notFound
    }
    return search
  }

  /// - Returns: The entry; nil where more came of it, or a hold was placed or released, meanwhile.
  private func erase(
    _ search: CopySearch, _ due: [CopyHolder], _ held: HeldRows, _ why: String
  ) throws(OpsError) -> Int64? {
    var (named, locked) = (Parameters(), Parameters())
    named.uuids(due.map(\.stream))
    locked.uuids(Set(due.map(\.stream)).union(search.missions))
    var content = named
    content.uuids(search.archivedKeys)
    var reads = Reads()
    let rows = ErasedRows(locked, in: &reads)
    let tombstones = reads.add(Self.tombstones, named)
    _ = reads.add(Session.lockRetention)
    let copies = reads.add(search.question)
    let holds = reads.rows(of: Hold.self, HeldRows.inForce)
    var command = Command(reads) { (found, draft) throws(OpsError) in
      guard try search.isSame(try found[copies]), held.isOf(try found[holds]) else { return }
      try Self.refuse(held, search)
      try rows.load(found, &draft)
      try Self.loadTombstones(try found[tombstones], due, &draft)
      for mission in draft.missions.rows where mission.row.isOpen {
        throw Self.isOpen(mission.row)
      }
      for holder in due { draft.erase(holder, why) }
    }
    command.afterwards = [
      (Self.becomeRepairRole, Parameters()), (Self.eraseContent, content),
      (Self.becomeOneself, Parameters()),
    ]
    return try perform(command).entry
  }

  /// Of the missions that are erased, and of those whose rows hold a copy.
  private static let openMissions = Statement(
    """
    SELECT \(Mission.select("m")) FROM public.ops_missions AS m
    WHERE m.id = ANY ($1::uuid[]) AND m.status IN ('approved', 'running') ORDER BY m.id
    """)

  /// What an erasure would be refused for now.
  private func refuseUnready(
    _ search: CopySearch, _ due: [CopyHolder], _ held: HeldRows
  ) throws(OpsError) {
    try Self.refuse(held, search)
    var named = Parameters()
    named.uuids(Set(due.map(\.stream)).union(search.missions))
    if let open = try session.query(Self.openMissions, named).rows(of: Mission.self).first {
      throw Self.isOpen(open)
    }
  }

  private static func isOpen(_ mission: Mission) -> OpsError {
    OpsError(
      .conflict, "mission \(mission.id) is \(mission.status.rawValue)",
      hint: "erase when it has ended: its steps cannot run without what they were told",
      facts: ["mission_id": mission.id.description])
  }

  private static func refuse(_ held: HeldRows, _ search: CopySearch) throws(OpsError) {
    guard let hold = held.hold(onAnyOf: search.rows) else { return }
    throw OpsError(
      .notAllowed, "hold \(hold) keeps it as it is",
      hint: "a hold wins over an erasure; see `opsledger hold list`",
      facts: ["hold_id": hold.description])
  }

  private static func loadTombstones(
    _ rows: Rows, _ due: [CopyHolder], _ draft: inout Draft
  ) throws(OpsError) {
    var versions: [StreamID: Int32] = [:]
    try onRow { () throws(PostgresError) in
      for row in 0..<rows.count {
        versions[StreamID(try rows.uuid(row, 0))] = try rows.int4(row, 1)
      }
    }
    for holder in due where !draft.isLoaded(holder) {
      guard let version = versions[holder.stream], version == holder.version ?? version else {
        throw OpsError(
          .inconsistentRow,
          "\(holder.rowType.rawValue) \(holder.stream) is in the log, and neither a row nor gone",
          hint: "see `opsledger verify`; `opsledger rebuild` mends it")
      }
      try draft.load(holder, tombstone: version)
    }
  }

  private func erasedEvents(of due: [CopyHolder]) throws(OpsError) -> Int {
    var named = Parameters()
    named.uuids(due.map(\.stream))
    let rows = try session.readBack(Self.countErased, named)
    return Int(try onRow { () throws(PostgresError) in try rows.int8(0, 0) })
  }

  /// The server keeps samples of columns, which anyone who reads the tables can see.
  ///
  /// - Returns: Why they could not be taken anew.
  private func forgetStatistics() -> OpsError? {
    do throws(OpsError) {
      try session.forgetStatistics()
      return nil
    } catch { return error }
  }

  // MARK: Statements

  private static let tombstones = Statement(
    """
    SELECT t.stream, t.version FROM ledger.tombstones AS t WHERE t.stream = ANY ($1::uuid[])
    ORDER BY t.stream
    """)
  private static let becomeRepairRole = Statement("SET LOCAL ROLE opsledger_repair")
  private static let becomeOneself = Statement("RESET ROLE")
  private static let eraseContent = Statement("SELECT ledger.erase_content($1::uuid[], $2::uuid[])")
  private static let countErased = Statement(
    """
    SELECT count(*) FROM ledger.events AS e
    WHERE e.stream = ANY ($1::uuid[]) AND e.commitment IS NOT NULL
    """)
}

/// The rows of all tables that hold content, locked: parents before children, as everywhere.
private struct ErasedRows {
  private typealias Load = (Found, inout Draft) throws(OpsError) -> Void
  private var loads: [Load] = []

  init(_ streams: Parameters, in reads: inout Reads) {
    for rowType in RowType.allCases where rowType.holdsContent {
      loads.append(Self.load(rowType.type, streams, &reads))
    }
  }

  func load(_ found: Found, _ draft: inout Draft) throws(OpsError) {
    for load in loads { try load(found, &draft) }
  }

  private static func load<R: Row>(
    _ rowType: R.Type, _ streams: Parameters, _ reads: inout Reads
  ) -> Load {
    let lock = Statement(
      """
      SELECT \(R.select("t")) FROM \(R.relation) AS t WHERE \(R.streamSQL) = ANY ($1::uuid[])
      ORDER BY 1 FOR NO KEY UPDATE
      """)
    let read = reads.rows(of: R.self, lock, streams)
    return { (found, draft) throws(OpsError) in
      for row in try found[read] {
        guard let stream = R.stream(of: row) else { continue }
        try draft.load(row, as: stream)
      }
    }
  }
}

extension RowType {
  /// The ledger's own row has none, and is never erased; see ``CopySearch``.
  fileprivate var holdsContent: Bool { self != .ledger }
}

extension Draft {
  fileprivate func isLoaded(_ holder: CopyHolder) -> Bool {
    !holder.rowType.holdsContent || isLoaded(holder.stream, of: holder.rowType.type)
  }

  private func isLoaded<R: Row>(_ stream: StreamID, of rowType: R.Type) -> Bool {
    row(stream, of: R.self) != nil
  }

  fileprivate mutating func load(
    _ holder: CopyHolder, tombstone version: Int32
  ) throws(OpsError) {
    guard holder.rowType.holdsContent else { return }
    try load(tombstone: version, of: holder.rowType.type, as: holder.stream)
  }

  fileprivate mutating func erase(_ holder: CopyHolder, _ why: String) {
    guard holder.rowType.holdsContent else { return }
    erase(holder.rowType.type, holder.stream, why)
  }

  private mutating func erase<R: Row>(_ rowType: R.Type, _ stream: StreamID, _ why: String) {
    append(StreamEvent<R>.common(.erased(why: why)), to: stream)
  }
}
