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
      .init(name: "status", value: "S", help: "only queued, running, succeeded or failed"),
      .init(name: "mission", value: "ID", help: "only of this mission, in its order"),
      .init(name: "dead", help: "only dead letters: what failed for good, not what was skipped"),
      .limit,
    ],
    examples: [.init(line: "step list --dead", meaning: "what needs somebody to look at it")]
  ) { (call) throws(OpsError) in
    let status = try call.label("status", as: Step.Status.self)
    let mission = try call.id(option: "mission", of: "mission")
    let limit = try call.limit()
    let steps = try call.session().list(
      .steps(status: status, mission: mission, dead: call.flag("dead"), limit: limit))
    printSteps(steps, call)
    return .fine
  }

  static func printSteps(_ steps: [Step], _ call: Invocation) {
    printRows(
      steps, call, none: "no steps",
      { table, step in
        table.add([
          step.id.description, step.ordinal.map { String($0) } ?? "", step.kind,
          step.phase == .skipped ? "skipped" : step.phase == .dead ? "dead" : step.status.rawValue,
          String(step.failureCount), Shown.time(step.updatedAt), step.leasedBy ?? "",
          Shown.brief(step.lastError, 120),
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false),
        .init(title: "STEP", alignsRight: true, canShrink: false), .init(title: "KIND"),
        .init(title: "STATUS", canShrink: false),
        .init(title: "FAILURES", alignsRight: true, canShrink: false),
        .init(title: "CHANGED (UTC)", canShrink: false), .init(title: "LEASED BY"),
        .init(title: "LAST ERROR"),
      ])
  }

  static let show = Command(
    group: .work, name: "step show", summary: "show one step",
    arguments: [.init(name: "ID", help: "the step's id")],
    examples: [
      .init(
        line: "step show 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f",
        meaning: "params, lease, result and last error")
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "step")
    let session = try call.session()
    let story = try session.story(ofStep: id)
    let report = try StepStatusReport(story, Engine(session, actor: "step show"))
    if call.wantsJSON {
      Output.standard.line(report.json)
    } else {
      printRow(story.step, call)
      let facts = report.facts
      if !facts.isEmpty { Output.standard.write("\n" + Facts.text(facts)) }
    }
    return .fine
  }

  static let retry = Command(
    group: .work, name: "step retry",
    summary: "queue a dead step again, and those that were skipped because of it",
    arguments: [.init(name: "ID", help: "the step's id", isOptional: true)],
    options: [
      .init(name: "dead", help: "every dead step, instead of one"),
      .init(name: "kind", value: "K", help: "with --dead: only of this kind"),
      .init(name: "mission", value: "ID", help: "with --dead: only of this mission"),
      .init(
        name: "limit", value: "N", help: "with --dead: at most so many, the oldest first (1000)"),
      .why, .key,
    ],
    notes: [
      "Its failures count from 0 again. Its mission is reopened when a worker claims it. A step that "
        + "was skipped cannot be retried alone: retry the one that failed."
    ],
    examples: [
      .init(
        line: "step retry 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f --why 'the disk is back'",
        meaning: "one"),
      .init(
        line: "step retry --dead --kind \(RadarExecutor.name) --why 'the source is back'",
        meaning: "in bulk"),
    ]
  ) { (call) throws(OpsError) in
    let why = try call.prose("why")
    let limit = try call.integer("limit", in: 1...1_000_000) ?? 1000
    let mission = try call.id(option: "mission", of: "mission")
    guard call.arguments.isEmpty == call.flag("dead") else {
      throw .badInput("name one step, or --dead for all", hint: "see `opsledger step list --dead`")
    }
    guard call.flag("dead") || call.text("kind") == nil && mission == nil else {
      throw .badInput("--kind and --mission choose among --dead")
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
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.int("retried", requeued.dead)
      out.int("queued", requeued.steps)
      Output.standard.line(out.finish())
    } else {
      let skipped = requeued.steps - requeued.dead
      Output.standard.line(
        Shown.count(requeued.dead, "dead step") + " queued again"
          + (skipped > 0 ? ", with \(skipped) that had been skipped" : ""))
    }
    return .fine
  }
}

/// `radar list`.
enum RadarCommands {
  static let all = [list]

  static let list = Command(
    group: .work, name: "radar list", summary: "list what is on the radar, what changed last first",
    options: [
      .init(
        name: "stage", value: "S", help: "only watching, validating, building or shipped"), .limit,
    ],
    examples: [.init(line: "radar list --stage building", meaning: "what is being built")]
  ) { (call) throws(OpsError) in
    let stage = try call.label("stage", as: Radar.Stage.self)
    let limit = try call.limit()
    let items = try call.session().list(.radar(stage: stage, limit: limit))
    printRows(
      items, call, none: "nothing on the radar",
      { table, item in
        table.add([
          item.id.description, item.stage.rawValue, Shown.time(item.updatedAt), item.title,
          Shown.brief(item.notes ?? item.description, 80),
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false), .init(title: "STAGE", canShrink: false),
        .init(title: "CHANGED (UTC)", canShrink: false), .init(title: "TITLE"),
        .init(title: "NOTES"),
      ])
    return .fine
  }
}
