import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `step list|show|retry`.
enum StepCommands {
  static let all = [list, show, retry]

  static let list = Command(
    group: .work, name: "step list", summary: "list steps, the newest first",
    options: [
      .value("status", "S", "only queued, running, succeeded or failed ones"),
      .value("mission", "ID", "only steps of this mission, in its order"),
      .flag("dead", "only dead letters: steps that failed for good, without skipped ones"),
      .limit,
    ],
    examples: ["step list --dead": "which steps need a person?"]
  ) { (call) throws(OpsError) in
    let status = try call.label("status", as: Step.Status.self)
    let mission = try call.id(option: "mission", of: "mission")
    let limit = try call.limit()
    let steps = try call.session().list(
      .steps(status: status, mission: mission, dead: call.flag("dead"), limit: limit))
    call.print(steps, none: "no steps", columns)
    return .fine
  }

  private static var columns: [TextTable.Field<Step>] {
    [
      .whole("ID") { $0.id.description }, .number("STEP") { $0.ordinal.map { String($0) } ?? "" },
      .words("KIND") { $0.kind }, .whole("STATUS", StepStatusReport.word),
      .number("FAILURES") { String($0.failureCount) },
      .whole("CHANGED (UTC)") { Shown.time($0.updatedAt) },
      .words("LEASED BY") { $0.leasedBy ?? "" },
      .words("LAST ERROR") { Shown.brief($0.lastError, 120) },
    ]
  }

  static func table(_ steps: [Step]) -> String {
    steps.isEmpty ? "no steps\n" : TextTable(steps, columns).text()
  }

  static let show = Command(
    group: .work, name: "step show", summary: "show one step, its attempts, and what it waits for",
    arguments: [.id("the step's")],
    examples: [
      "step show \(Command.someID)": "step list shows ids"
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "step")
    let session = try call.session()
    let story = try session.story(ofStep: id)
    let report = try StepStatusReport(story, Engine(session, actor: "step show"))
    let facts = Facts.text(report.facts)
    call.print(story.step.facts + (facts.isEmpty ? "" : "\n" + facts)) { report.json(&$0) }
    return .fine
  }

  static let retry = Command(
    group: .work, name: "step retry",
    summary: "queue a dead letter again, and the steps that were skipped because of it",
    arguments: [.init(name: "ID", help: "the step's id", isOptional: true)],
    options: [
      .flag("dead", "every dead letter, instead of one"),
      .value("kind", "K", "with --dead: only steps of this kind"),
      .value("mission", "ID", "with --dead: only steps of this mission"),
      .value("limit", "N", "with --dead: at most N, the oldest first (1000)"),
      .why, .key,
    ],
    notes: [
      "The step's failures count from 0 again. Its mission is reopened when a worker claims the step. A skipped step "
        + "cannot be retried alone: retry the step that failed."
    ],
    examples: [
      "step retry \(Command.someID) --why 'the disk is back'": "one step",
      "step retry --dead --kind \(RadarExecutor.name) --why 'the source is back'":
        "all dead letters of a kind",
    ]
  ) { (call) throws(OpsError) in
    let why = try call.prose("why")
    let limit = try call.integer("limit", in: 1...1_000_000) ?? 1000
    let mission = try call.id(option: "mission", of: "mission")
    guard call.arguments.isEmpty == call.flag("dead") else {
      throw .badInput(
        "step retry needs a step's ID, or --dead for all", hint: "see `opsledger step list --dead`")
    }
    guard call.flag("dead") || call.text("kind") == nil && mission == nil else {
      throw .badInput("--kind and --mission need --dead")
    }
    let engine = try call.engine()
    let requeued: Requeued
    if call.flag("dead") {
      requeued = try engine.retryDead(
        DeadStepFilter(kind: call.text("kind"), mission: mission, limit: limit), why: why)
      for passed in engine.takeQuarantined() { call.note("warning: \(passed)") }
    } else {
      requeued = try engine.retry(try call.id(0, of: "step"), why: why)
    }
    let skipped = requeued.steps - requeued.dead
    call.print(
      Shown.count(requeued.dead, "dead letter") + " queued again"
        + (skipped > 0 ? ", with \(Shown.count(skipped, "skipped step"))" : "")
    ) { out in
      out.int("retried", requeued.dead)
      out.int("queued", requeued.steps)
    }
    return .fine
  }
}

/// `radar list`.
enum RadarCommands {
  static let list = Command(
    group: .work, name: "radar list", summary: "list radar items, the most recently changed first",
    options: [
      .value("stage", "S", "only watching, validating, building or shipped ones"), .limit,
    ],
    examples: ["radar list --stage building": "what is being built?"]
  ) { (call) throws(OpsError) in
    let stage = try call.label("stage", as: Radar.Stage.self)
    let limit = try call.limit()
    let items = try call.session().list(.radar(stage: stage, limit: limit))
    call.print(
      items, none: "no radar items",
      [
        .whole("ID") { $0.id.description }, .whole("STAGE") { $0.stage.rawValue },
        .whole("CHANGED (UTC)") { Shown.time($0.updatedAt) }, .words("TITLE") { $0.title },
        .words("NOTES") { Shown.brief($0.notes ?? $0.description, 80) },
      ])
    return .fine
  }
}
