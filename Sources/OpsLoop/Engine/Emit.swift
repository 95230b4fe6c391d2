import JSON
public import Ledger
import Log
import Postgres

/// The result of emitting an agent event.
public struct Emitted: Equatable, Sendable {
  public var eventID: StreamID
  public var entry: Int64?
  /// Whether its dedupe key was taken. The event is then the one that has the key.
  public var isDuplicate: Bool
}

extension Engine {
  private static let typeBytesMax = 200
  private static let dataBytesMax = 1_048_576

  /// Records an agent event.
  ///
  /// - Throws: `OPS_019` for a type or data that cannot be recorded.
  public func emit(_ report: AgentEvent.Report) throws(OpsError) -> Emitted {
    let report = try Self.checked(report)
    if request == nil, report.dedupeKey == nil {
      let command = newCommandID()
      var draft = Draft(at: .allocated, ids: .random())
      // The entry's time is not known yet, so the event's id has the client's time.
      draft.append(.reported(report, processed: false), of: AgentEvent.self, to: command)
      let committed = try session.appendFresh(CommandKey(id: command, actor: actor), draft)
      return Emitted(eventID: command, entry: committed.entry, isDuplicate: false)
    }
    let committed = try answer(Self.emission(of: report))
    return Emitted(
      eventID: committed.answer, entry: committed.entry, isDuplicate: committed.entry == nil)
  }

  /// Answers with the event's id, or with the id of the event that has its dedupe key.
  private static func emission(of report: AgentEvent.Report) -> Command<StreamID> {
    let parameters = Parameters { $0.text(report.dedupeKey) }
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

  /// The lock on the row with the key makes the command wait for a transaction that removes the row.
  private static let holder = Statement(
    "SELECT id FROM public.ops_agent_events WHERE dedupe_key = $1::text FOR NO KEY UPDATE")
  /// The key of an archived row stays taken.
  private static let archivedHolder = Statement(
    """
    SELECT stream FROM ledger.tombstones WHERE row_type = 'agent_event' AND dedupe_key = $1::text
    """)

  /// Records agent events without dedupe keys in one entry.
  ///
  /// - Throws: `OPS_019` for a type or data that cannot be recorded. Then none is recorded.
  public func emit(fresh reports: [AgentEvent.Report]) throws(OpsError) {
    var draft = Draft(at: .allocated, ids: .random())
    let command = newCommandID()
    let now = Instant(micros: Int64(command.high >> 16) * 1000)
    for report in reports {
      let report = try Self.checked(report)
      guard report.dedupeKey == nil else {
        throw OpsError(.badInput, "an event with a dedupe key cannot be one of several in an entry")
      }
      draft.append(
        .reported(report, processed: false), of: AgentEvent.self, to: draft.ids.next(at: now))
    }
    _ = try session.appendFresh(CommandKey(id: command, actor: actor), draft)
  }

  /// The report with its data in the spelling of `jsonb`.
  private static func checked(_ report: AgentEvent.Report) throws(OpsError) -> AgentEvent.Report {
    guard !report.type.isEmpty, report.type.utf8.count <= typeBytesMax,
      !report.type.utf8.contains(where: { $0 < 0x20 })
    else {
      throw OpsError(
        .badInput,
        "the type of an event must have 1 to \(typeBytesMax) bytes and no control characters",
        hint: "use a type such as scout:find")
    }
    var report = report
    do { report.data = try JSON(parsing: report.data).text } catch {
      throw OpsError(.badInput, "the data of the event is not valid JSON: \(error.reason)")
    }
    guard report.data.utf8.count <= dataBytesMax else {
      throw OpsError(
        .badInput,
        "the data of the event has \(report.data.utf8.count) bytes; the limit is \(dataBytesMax)",
        hint: "store large data somewhere else, and write a reference to it into the event")
    }
    return report
  }
}
