import Archive
import Host
import JSON
import Ledger
import Log
import Replay

/// `mission list|show|history`.
enum MissionCommands {
  static let all = [list, show, history]

  static let list = Command(
    group: .work, name: "mission list", summary: "list missions, the newest first",
    options: [
      .init(name: "status", value: "S", help: "only approved, running, succeeded or failed"),
      .init(name: "archived", help: "those that retention took out of the tables, instead"),
      .limit,
    ],
    examples: [
      .init(line: "mission list --status failed", meaning: "what did not work out"),
      .init(line: "mission list --archived", meaning: "what archive restore can bring back"),
    ]
  ) { (call) throws(OpsError) in
    let status = try call.label("status", as: Mission.Status.self)
    let limit = try call.limit()
    let session = try call.session()
    if call.flag("archived") { return try printArchived(status, limit, session, call) }
    let missions = try session.list(.missions(status: status, limit: limit))
    let titles = call.wantsJSON ? [:] : try session.titles(of: missions.compactMap(\.proposalID))
    printRows(
      missions, call, none: "no missions",
      { table, mission in
        table.add([
          mission.id.description, mission.status.rawValue, Shown.time(mission.createdAt),
          took(mission), mission.proposalID.flatMap { titles[$0] } ?? "",
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false), .init(title: "STATUS", canShrink: false),
        .init(title: "CREATED (UTC)", canShrink: false),
        .init(title: "TOOK", alignsRight: true, canShrink: false), .init(title: "TITLE"),
      ])
    return .fine
  }

  private static func took(_ mission: Mission) -> String {
    guard let end = mission.completedAt else { return "" }
    return Shown.span(from: mission.createdAt, to: end)
  }

  private static func printArchived(
    _ status: Mission.Status?, _ limit: Int, _ session: Session, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    // How one ended may be known only after it was read, so that all are asked for where that chooses.
    let all = try session.archivedMissions(limit: status == nil ? limit : .max)
    let missions = all.filter { status == nil || $0.status == status }.prefix(limit)
    if missions.contains(where: { $0.archived == nil }) {
      call.note(
        "note: what is not known of some has left the database: name the store, --store DIR")
    }
    if call.wantsJSON {
      Output.standard.line("[" + missions.map(json).joined(separator: ",\n ") + "]")
      return .fine
    }
    guard !missions.isEmpty else {
      call.note("no archived missions")
      return .fine
    }
    var table = TextTable([
      .init(title: "ID", canShrink: false), .init(title: "STATUS", canShrink: false),
      .init(title: "ARCHIVED (UTC)", canShrink: false),
      .init(title: "ENTRY", alignsRight: true, canShrink: false), .init(title: "TITLE"),
      .init(title: "INTO"),
    ])
    for mission in missions {
      table.add([
        mission.id.description, mission.status?.rawValue ?? "?",
        mission.archived.map { Shown.time($0.at) } ?? "?",
        mission.archived.map { String($0.entry) } ?? "?", mission.title ?? "",
        mission.archived?.segment ?? "",
      ])
    }
    Output.standard.write(table.text())
    return .fine
  }

  private static func json(_ mission: ArchivedMission) -> String {
    var out = JSONObjectWriter()
    out.string("id", mission.id.description)
    out.json("status", .optional(mission.status?.rawValue))
    out.json("title", .optional(mission.title))
    write(mission.archived, to: &out)
    return out.finish()
  }

  private static func write(
    _ archived: ArchivedMission.Archived?, to out: inout JSONObjectWriter
  ) {
    out.json("archived_entry", archived.map { .int($0.entry) } ?? .null)
    out.json("archived_at", .optional(archived?.at.description))
    out.json("segment", .optional(archived?.segment))
  }

  static let show = Command(
    group: .work, name: "mission show", summary: "show one mission",
    arguments: [.init(name: "ID", help: "the mission's id")],
    notes: [
      "One that retention took out of the tables is shown as it was when it left, from the log; where its events have "
        + "left the database, too, from the store (--store)."
    ],
    examples: [
      .init(line: "mission show 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f", meaning: "with its steps")
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "mission")
    let session = try call.session()
    let mission: Mission
    do throws(OpsError) { mission = try session.find(id, as: "mission") } catch {
      guard error.code == .notFound else { throw error }
      return try showArchived(id, session, call)
    }
    printRow(mission, call)
    if call.wantsJSON { return .fine }
    let steps = try session.list(.steps(status: nil, mission: id, dead: false, limit: 1000))
    Output.standard.line("")
    StepCommands.printSteps(steps, call)
    return .fine
  }

  private static func showArchived(
    _ id: StreamID, _ session: Session, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    let archived = try session.archivedMission(id)
    let state = try session.mission(id, at: archived.entry - 1)
    if call.wantsJSON {
      var out = JSONObjectWriter()
      for column in Mission.columns { column.get(state.mission).write(to: &out, as: column.name) }
      write(archived, to: &out)
      Output.standard.line(out.finish())
      return .fine
    }
    Output.standard.line(
      Terminal.printable(
        "archived \(Shown.time(archived.at)), in entry \(archived.entry), into "
          + "\(archived.segment ?? "?"); as it was then:"))
    printRow(state.mission, call)
    Output.standard.line("")
    StepCommands.printSteps(state.steps, call)
    return .fine
  }

  static let history = Command(
    group: .work, name: "mission history",
    summary: "tell a mission's whole story, from the log",
    arguments: [.init(name: "ID", help: "the mission's id")],
    options: [.offline],
    notes: [
      "What started it, who or which policy decided, every attempt and who made it, and how it "
        + "ended. It also works where the mission's rows are gone, and, with the store at hand, where "
        + "retention took its events out of the database."
    ],
    examples: [
      .init(
        line: "mission history 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f",
        meaning: "ids are what mission list shows"),
      .init(
        line: "mission history 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f --offline --store /srv/ledger",
        meaning: "with the database gone"),
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "mission")
    if call.flag("offline") { return try offlineHistory(id, call) }
    let session = try call.session()
    let history = try session.history(ofMission: id)
    let timeline = Timeline(history, segments: segments(of: history, session, call))
    Output.standard.write(call.wantsJSON ? json(history, timeline) : timeline.text())
    return .fine
  }

  /// The files of the store that hold a mission which is not in the tables; nil where no store can tell.
  private static func segments(
    of history: MissionHistory, _ session: Session, _ call: Invocation
  ) -> [String]? {
    guard !history.isInTables, let log = session.target.archivedLog else { return nil }
    do throws(OpsError) { return try log.files(holding: Set(history.events.map(\.entry))) } catch {
      call.note("warning: which files of the store hold it cannot be told: \(error)")
      return nil
    }
  }

  private static func offlineHistory(
    _ id: StreamID, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    let log = try call.storedLog()
    let history = try MissionHistory(ofMission: id, in: log)
    let timeline = Timeline(
      history, segments: try log.files(holding: Set(history.events.map(\.entry))))
    if call.wantsJSON {
      Output.standard.write(json(history, timeline, read: log.bytesRead))
      return .fine
    }
    Output.standard.write(timeline.text())
    call.note("read \(Shown.bytes(Int64(log.bytesRead))) of \(Shown.bytes(Int64(try log.bytes())))")
    return .fine
  }

  private static func json(
    _ history: MissionHistory, _ timeline: Timeline, read: UInt64? = nil
  ) -> String {
    var out = JSONObjectWriter()
    out.string("mission_id", history.mission.description)
    out.string("status", timeline.status)
    out.json("title", .optional(timeline.title))
    out.json("proposal_id", .optional(timeline.proposalID))
    out.json("agent_event_id", .optional(history.origin?.description))
    out.json("decision", .optional(timeline.decision))
    out.json("policy_versions", timeline.policyVersions)
    out.json("created_at", .optional(timeline.createdAt?.description))
    out.json("started_at", .optional(timeline.startedAt?.description))
    out.json("completed_at", .optional(timeline.endedAt?.description))
    out.int("steps", timeline.stepCount)
    out.int("attempts", timeline.attemptCount)
    out.bool("in_tables", history.isInTables)
    out.json("segments", .array(timeline.segments.map(JSON.string)))
    if let read { out.int("bytes_read", Int64(read)) }
    out.raw("events", "[" + history.events.map(\.json).joined(separator: ",\n ") + "]")
    return out.finish() + "\n"
  }
}
