import Archive
import Host
import JSON
import Ledger
import Log

/// `mission list|show|history`.
enum MissionCommands {
  static let all = [list, show, history]

  static let list = Command(
    group: .work, name: "mission list", summary: "list missions, the newest first",
    options: [
      .init(name: "status", value: "S", help: "only approved, running, succeeded or failed"),
      .limit,
    ],
    examples: [.init(line: "mission list --status failed", meaning: "what did not work out")]
  ) { (call) throws(OpsError) in
    let status = try call.label("status", as: Mission.Status.self)
    let limit = try call.limit()
    let session = try call.session()
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
    return Timeline.span(from: mission.createdAt, to: end)
  }

  static let show = Command(
    group: .work, name: "mission show", summary: "show one mission",
    arguments: [.init(name: "ID", help: "the mission's id")],
    examples: [
      .init(line: "mission show 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f", meaning: "with its steps")
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "mission")
    let session = try call.session()
    let mission: Mission = try session.find(id, as: "mission")
    printRow(mission, call)
    if call.wantsJSON { return .fine }
    let steps = try session.list(.steps(status: nil, mission: id, dead: false, limit: 1000))
    Output.standard.line("")
    StepCommands.printSteps(steps, call)
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
    let history = try call.session().history(ofMission: id)
    let timeline = Timeline(history)
    Output.standard.write(call.wantsJSON ? json(history, timeline) : timeline.text)
    return .fine
  }

  private static func offlineHistory(
    _ id: StreamID, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    let log = try call.storedLog()
    let history = try MissionHistory(ofMission: id, in: log)
    let timeline = Timeline(history)
    if call.wantsJSON {
      Output.standard.write(json(history, timeline, read: log.bytesRead))
      return .fine
    }
    Output.standard.write(timeline.text)
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
    if let read { out.int("bytes_read", Int64(read)) }
    out.raw("events", "[" + history.events.map(\.json).joined(separator: ",\n ") + "]")
    return out.finish() + "\n"
  }
}
