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
      .value("status", "S", "only approved, running, succeeded or failed ones"),
      .flag("archived", "list archived missions instead"),
      .limit,
    ],
    examples: [
      "mission list --status failed": "which missions failed?",
      "mission list --archived": "which missions can archive restore bring back?",
    ]
  ) { (call) throws(OpsError) in
    let status = try call.label("status", as: Mission.Status.self)
    let limit = try call.limit()
    let session = try call.session()
    if call.flag("archived") { return try printArchived(status, limit, session, call) }
    let missions = try session.list(.missions(status: status, limit: limit))
    let titles = call.wantsJSON ? [:] : try session.titles(of: missions.compactMap(\.proposalID))
    call.print(
      missions, none: "no missions",
      [
        .whole("ID") { $0.id.description }, .whole("STATUS") { $0.status.rawValue },
        .whole("CREATED (UTC)") { Shown.time($0.createdAt) },
        .number("TOOK") { mission in
          mission.completedAt.map { Shown.span(from: mission.createdAt, to: $0) } ?? ""
        },
        .words("TITLE") { $0.proposalID.flatMap { titles[$0] } ?? "" },
      ])
    return .fine
  }

  private static func printArchived(
    _ status: Mission.Status?, _ limit: Int, _ session: Session, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    // The status of some missions is known only after they were read, so that a filter reads all of them.
    let all = try session.archivedMissions(limit: status == nil ? limit : .max)
    let missions = Array(all.filter { status == nil || $0.status == status }.prefix(limit))
    if missions.contains(where: { $0.archived == nil }) {
      call.note(
        "note: the log of some missions is archived, so \"?\" stands for what only the store knows: name it with --store"
      )
    }
    call.print(
      missions, none: "no archived missions",
      [
        .whole("ID") { $0.id.description }, .whole("STATUS") { $0.status?.rawValue ?? "?" },
        .whole("ARCHIVED (UTC)") { $0.archived.map { Shown.time($0.at) } ?? "?" },
        .number("ENTRY") { $0.archived.map { String($0.entry) } ?? "?" },
        .words("TITLE") { $0.title ?? "" }, .words("INTO") { $0.archived?.segment ?? "" },
      ], json: json)
    return .fine
  }

  private static func json(_ mission: ArchivedMission, _ out: inout JSONObjectWriter) {
    out.string("id", mission.id.description)
    out.optional("status", mission.status?.rawValue)
    out.optional("title", mission.title)
    write(mission.archived, to: &out)
  }

  private static func write(
    _ archived: ArchivedMission.Archived?, to out: inout JSONObjectWriter
  ) {
    out.optional("archived_entry", archived.map { $0.entry })
    out.optional("archived_at", archived?.at.description)
    out.optional("segment", archived?.segment)
  }

  static let show = Command(
    group: .work, name: "mission show", summary: "show one mission with its steps",
    arguments: [.id("the mission's")],
    notes: [
      "An archived mission is shown as it was when it was archived, from the log. If its events are archived, too, it "
        + "needs the store (--store, OPS_STORE)."
    ],
    examples: [
      "mission show \(Command.someID)": "mission list shows ids"
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "mission")
    let session = try call.session()
    let mission: Mission
    do throws(OpsError) { mission = try session.find(id, as: "mission") } catch {
      guard error.code == .notFound else { throw error }
      return try showArchived(id, session, call)
    }
    let steps = try session.list(.steps(status: nil, mission: id, dead: false, limit: 1000))
    call.print(mission.facts + "\n" + StepCommands.table(steps)) { mission.write(to: &$0) }
    return .fine
  }

  private static func showArchived(
    _ id: StreamID, _ session: Session, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    let archived = try session.archivedMission(id)
    let state = try session.mission(id, at: archived.entry - 1)
    let head = Terminal.printable(
      "archived \(Shown.time(archived.at)), in entry \(archived.entry), into "
        + "\(archived.segment ?? "?"); as it was then:")
    call.print("\(head)\n\(state.mission.facts)\n\(StepCommands.table(state.steps))") { out in
      state.mission.write(to: &out)
      write(archived, to: &out)
    }
    return .fine
  }

  static let history = Command(
    group: .work, name: "mission history",
    summary: "show everything that happened to a mission, from the log",
    arguments: [.id("the mission's")],
    options: [.offline],
    notes: [
      "It shows what started the mission, which person or policy decided, every attempt with its worker, manual changes, "
        + "and how the mission ended.",
      "It needs no rows of the mission. If its events are archived, it needs the store (--store, OPS_STORE).",
    ],
    examples: [
      "mission history \(Command.someID)": "mission list shows ids",
      "mission history \(Command.someID) --offline --store /srv/ledger":
        "works without the database",
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "mission")
    if call.flag("offline") { return try offlineHistory(id, call) }
    let session = try call.session()
    let history = try session.history(ofMission: id)
    let timeline = Timeline(history, segments: segments(of: history, session, call))
    call.print(timeline.text()) { json(history, timeline, &$0) }
    return .fine
  }

  /// The store's files that hold an archived mission; nil where no store is named or can be read.
  private static func segments(
    of history: MissionHistory, _ session: Session, _ call: Invocation
  ) -> [String]? {
    guard !history.isInTables, let log = session.target.archivedLog else { return nil }
    do throws(OpsError) { return try log.files(holding: Set(history.events.map(\.entry))) } catch {
      call.note("warning: the store's files that hold the mission could not be listed: \(error)")
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
    call.print(timeline.text()) { json(history, timeline, &$0, read: log.bytesRead) }
    if !call.wantsJSON {
      let (read, all) = (Int64(log.bytesRead), Int64(try log.bytes()))
      call.note("read \(Shown.bytes(read)) of the store's \(Shown.bytes(all))")
    }
    return .fine
  }

  private static func json(
    _ history: MissionHistory, _ timeline: Timeline, _ out: inout JSONObjectWriter,
    read: UInt64? = nil
  ) {
    out.string("mission_id", history.mission.description)
    out.string("status", timeline.status)
    out.optional("title", timeline.title)
    out.optional("proposal_id", timeline.proposalID)
    out.optional("agent_event_id", history.origin?.description)
    out.optional("decision", timeline.decision)
    out.json("policy_versions", timeline.policyVersions)
    out.optional("created_at", timeline.createdAt?.description)
    out.optional("started_at", timeline.startedAt?.description)
    out.optional("completed_at", timeline.endedAt?.description)
    out.int("steps", timeline.stepCount)
    out.int("attempts", timeline.attemptCount)
    out.bool("in_tables", history.isInTables)
    out.list("segments", timeline.segments)
    if let read { out.int("bytes_read", Int64(read)) }
    out.list("events", history.events) { $0.write(to: &$1) }
  }
}
