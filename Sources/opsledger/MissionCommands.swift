import Host
import JSON
import Ledger
import Log

/// `mission list|show|history`, `step list|show`, `radar list`.
enum MissionCommands {
  static let all = [missions, mission, history, steps, step, radar]

  private static let missionID = Command.Argument(name: "ID", help: "the mission")

  static let missions = Command(
    group: .work, name: "mission list", summary: "list missions, the newest first",
    options: [
      .init(name: "status", value: "S", help: "approved, running, succeeded or failed"), .limit,
    ],
    examples: [.init(line: "mission list --status failed", meaning: "what went wrong")]
  ) { (call) throws(OpsError) in
    let missions = try call.session().list(
      .missions(status: call.label("status", as: Mission.Status.self), limit: call.limit()))
    printRows(
      missions, call, none: "no missions",
      { table, mission in
        table.add([
          mission.id.description, mission.status.rawValue, Shown.time(mission.createdAt),
          Shown.time(mission.completedAt), mission.proposalID?.description ?? "",
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false), .init(title: "STATUS", canShrink: false),
        .init(title: "CREATED (UTC)", canShrink: false),
        .init(title: "COMPLETED (UTC)", canShrink: false),
        .init(title: "PROPOSAL", canShrink: false),
      ])
    return .fine
  }

  static let mission = Command(
    group: .work, name: "mission show", summary: "show one mission", arguments: [missionID],
    examples: [.init(line: "mission show ID", meaning: "step list --mission ID shows its steps")]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "mission")
    let mission: Mission = try call.session().find(id, as: "mission")
    printRow(mission, call)
    return .fine
  }

  static let history = Command(
    group: .work, name: "mission history",
    summary: "tell what happened to a mission: what, when, who, why, and how long",
    arguments: [missionID],
    notes: ["It is read from the log, so it is there when the tables are not."],
    examples: [
      .init(line: "mission history ID", meaning: "from the agent event that led to it to its end")
    ]
  ) { (call) throws(OpsError) in
    let history = try call.session().history(ofMission: call.id(0, of: "mission"))
    if call.wantsJSON {
      Output.standard.line(Timeline(history).json)
    } else {
      Output.standard.write(Timeline(history).text)
    }
    return .fine
  }

  static let steps = Command(
    group: .work, name: "step list", summary: "list steps, the newest first",
    options: [
      .init(name: "status", value: "S", help: "queued, running, succeeded or failed"),
      .init(name: "mission", value: "ID", help: "only of this mission, in their order"),
      .init(name: "dead", help: "only dead letters"), .limit,
    ],
    examples: [.init(line: "step list --dead", meaning: "what failed for good")]
  ) { (call) throws(OpsError) in
    let steps = try call.session().list(
      .steps(
        status: call.label("status", as: Step.Status.self),
        mission: call.id(option: "mission", of: "mission"), dead: call.flag("dead"),
        limit: call.limit()))
    printRows(
      steps, call, none: "no steps",
      { table, step in
        table.add([
          step.id.description, step.ordinal.map(String.init) ?? "", step.kind,
          step.executor ?? "", step.status.rawValue, String(step.failureCount),
          Shown.time(step.updatedAt), Shown.brief(step.lastError, 80),
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false), .init(title: "#", alignsRight: true),
        .init(title: "KIND"), .init(title: "EXECUTOR"), .init(title: "STATUS", canShrink: false),
        .init(title: "FAILED", alignsRight: true, canShrink: false),
        .init(title: "CHANGED (UTC)", canShrink: false), .init(title: "LAST ERROR"),
      ])
    return .fine
  }

  static let step = Command(
    group: .work, name: "step show", summary: "show one step",
    arguments: [.init(name: "ID", help: "the step")],
    examples: [.init(line: "step show ID", meaning: "its params, lease, result and last error")]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "step")
    let step: Step = try call.session().find(id, as: "step")
    printRow(step, call)
    return .fine
  }

  static let radar = Command(
    group: .work, name: "radar list", summary: "list what is on the radar",
    options: [
      .init(name: "stage", value: "S", help: "watching, validating, building or shipped"), .limit,
    ],
    examples: [.init(line: "radar list --stage building", meaning: "what is being built")]
  ) { (call) throws(OpsError) in
    let items = try call.session().list(
      .radar(stage: call.label("stage", as: Radar.Stage.self), limit: call.limit()))
    printRows(
      items, call, none: "nothing on the radar",
      { table, item in
        table.add([
          item.id.description, item.stage.rawValue, item.title, Shown.time(item.updatedAt),
          Shown.brief(item.notes, 80),
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false), .init(title: "STAGE", canShrink: false),
        .init(title: "TITLE"), .init(title: "CHANGED (UTC)", canShrink: false),
        .init(title: "NOTES"),
      ])
    return .fine
  }
}
