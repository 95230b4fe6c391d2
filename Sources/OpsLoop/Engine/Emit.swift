import JSON
public import Ledger
import Log
import Postgres

/// What became of an agent event that was emitted.
public struct Emitted: Equatable, Sendable {
  public var eventID: StreamID
  public var entry: Int64?
  /// Whether its dedupe key was taken: then the event is the one that has it.
  public var isDuplicate: Bool
}

extension Engine {
  public static let typeBytesMax = 200
  public static let dataBytesMax = 1_048_576

  /// Records an agent event.
  ///
  /// - Throws: `OPS_019` for a type or data that cannot be recorded.
  public func emit(_ report: AgentEvent.Report) throws(OpsError) -> Emitted {
    let report = try Self.checked(report)
    if request == nil, report.dedupeKey == nil { return try emitFresh(report) }
    let committed = try answer(Self.emission(of: report))
    return Emitted(
      eventID: committed.answer, entry: committed.entry, isDuplicate: committed.entry == nil)
  }

  /// Answers with the event's id, or with that of the one that has its dedupe key.
  private static func emission(of report: AgentEvent.Report) -> Command<StreamID> {
    var parameters = Parameters()
    parameters.text(report.dedupeKey)
    var reads = Reads()
    let live = reads.firstID(holder, parameters)
    let archived = reads.firstID(archivedHolder, parameters)
    return Command(reads) { (found, draft) throws(OpsError) in
      if let live = try found[live] { return live }
      if let archived = try found[archived] { return archived }
      let id = draft.newID()
      draft.append(.reported(report, processed: false), of: AgentEvent.self, to: id)
      return id
    }
  }

  /// Rows that hold the key are locked, so that whoever removes one is waited for before the draw.
  private static let holder = Statement(
    "SELECT id FROM public.ops_agent_events WHERE dedupe_key = $1::text FOR NO KEY UPDATE")
  /// The key of a row that left is taken as well.
  private static let archivedHolder = Statement(
    """
    SELECT stream FROM ledger.tombstones WHERE row_type = 'agent_event' AND dedupe_key = $1::text
    """)

  /// Records agent events that have no dedupe keys, all in one entry.
  ///
  /// - Throws: `OPS_019` for a type or data that cannot be recorded; then none is.
  public func emit(fresh reports: [AgentEvent.Report]) throws(OpsError) {
    var draft = Draft(at: .allocated, ids: .random())
    let command = newCommandID()
    let now = Instant(micros: Int64(command.high >> 16) * 1000)
    for report in reports {
      let report = try Self.checked(report)
      guard report.dedupeKey == nil else {
        throw OpsError(.badInput, "an event with a dedupe key is emitted by itself")
      }
      draft.append(
        .reported(report, processed: false), of: AgentEvent.self, to: draft.ids.next(at: now))
    }
    _ = try session.appendFresh(CommandKey(id: command, actor: actor), draft)
  }

  private func emitFresh(_ report: AgentEvent.Report) throws(OpsError) -> Emitted {
    let command = newCommandID()
    var draft = Draft(at: .allocated, ids: .random())
    // The entry's time is not known yet, so the id takes the client's.
    draft.append(.reported(report, processed: false), of: AgentEvent.self, to: command)
    let committed = try session.appendFresh(
      CommandKey(id: command, actor: actor), draft)
    return Emitted(eventID: command, entry: committed.entry, isDuplicate: false)
  }

  /// The report as it is recorded: its data in `jsonb`'s spelling.
  private static func checked(_ report: AgentEvent.Report) throws(OpsError) -> AgentEvent.Report {
    guard !report.type.isEmpty, report.type.utf8.count <= typeBytesMax,
      !report.type.utf8.contains(where: { $0 < 0x20 })
    else {
      throw OpsError(
        .badInput,
        "an event's type is a text of 1 to \(typeBytesMax) bytes without control characters",
        hint: "like scout:find")
    }
    var report = report
    do { report.data = try JSON(parsing: report.data).text } catch {
      throw OpsError(.badInput, "an event's data is not JSON that can be recorded: \(error.reason)")
    }
    guard report.data.utf8.count <= dataBytesMax else {
      throw OpsError(.badInput, "an event's data is at most \(dataBytesMax) bytes")
    }
    return report
  }
}

extension Reads {
  /// A read of the id in the first column of the first row.
  mutating func firstID(_ statement: Statement, _ parameters: Parameters) -> Read<StreamID?> {
    add(statement, parameters) { (rows) throws(OpsError) in try rows.firstID() }
  }
}

extension Rows {
  /// The ids in the first column.
  func streamIDs() throws(OpsError) -> [StreamID] {
    try onRow { () throws(PostgresError) in
      try (0..<count).map { (row) throws(PostgresError) in StreamID(try uuid(row, 0)) }
    }
  }

  /// The id in the first column of the first row.
  func firstID() throws(OpsError) -> StreamID? {
    guard count > 0 else { return nil }
    do { return StreamID(try uuid(0, 0)) } catch { throw OpsError(database: error) }
  }
}
