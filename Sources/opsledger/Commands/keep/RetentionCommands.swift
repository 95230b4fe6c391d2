import Archive
import Host
import JSON
import Ledger
import Log

/// `retention plan|apply`, `archive restore`: moves old missions to the store, and brings them back.
enum RetentionCommands {
  static let all = [plan, apply, restore]

  static let plan = Command(
    group: .keep, name: "retention plan",
    summary: "list what policy retention would archive, what stays, and why",
    options: [.flag("list", "name every mission that would be archived")],
    notes: [
      "It changes nothing. Pass the digest that it prints to retention apply, which archives exactly this plan.",
      "It needs a store only where a part of the log is archived and a hold is on a source or a time.",
    ],
    examples: ["retention plan": "what is old enough to be archived?"]
  ) { (call) throws(OpsError) in
    let plan = try call.session().retentionPlan()
    call.print(text(plan, listing: call.flag("list"))) { json(plan, &$0) }
    return .fine
  }

  static let apply = Command(
    group: .keep, name: "retention apply",
    summary: "archive what a plan names: push it into the stores, then remove it from the database",
    options: [
      .value("plan", "DIGEST", "the digest that retention plan printed", isRequired: true)
    ],
    notes: [
      "Nothing is removed before every store has it and it was read back. A mission that changed since the plan, or "
        + "got a hold, stays (exit 1). If the command is killed, run it again: it continues."
    ],
    examples: [
      "retention apply --plan 1795813200-5d0c93… --store /backup/ops":
        "archives the plan"
    ]
  ) { (call) throws(OpsError) in
    let watch = Stopwatch()
    let (session, stores, actor) = (try call.session(), try call.openStores(), try call.actor)
    let digest = call.text("plan") ?? ""
    let report = try ReplayCommands.watched("retention") { (progress) throws(OpsError) in
      try Retention(session, stores, actor: actor, progress).apply(plan: digest)
    }
    call.print(text(report, watch)) { json(report, &$0) }
    return report.isComplete ? .fine : .no
  }

  static let restore = Command(
    group: .recover, name: "archive restore",
    summary: "bring an archived mission back into the tables",
    options: [
      .value("mission", "ID", "the mission's id", isRequired: true)
    ],
    notes: [
      "Its rows come back as they were, with new versions. The next retention archives it again, unless a hold "
        + "keeps it."
    ],
    examples: [
      "archive restore --mission \(Command.someID) --store /backup/ops":
        "mission list --archived shows ids"
    ]
  ) { (call) throws(OpsError) in
    guard let id = try call.id(option: "mission", of: "mission") else { return .unreadable }
    let restored = try MissionRestorer(try call.session(), actor: try call.actor).run(id)
    call.print(
      "mission \(id) is back with \(Shown.count(restored.rows, "row")), recorded in entry \(restored.entry)"
        + (restored.hold.map { "; hold \($0) keeps it" } ?? "")
    ) { out in
      out.string("mission_id", id.description)
      out.int("archived_entry", restored.archived)
      out.int("entry", restored.entry)
      out.int("rows", restored.rows)
      if let hold = restored.hold { out.string("hold_id", hold.description) }
    }
    return .fine
  }
}

// MARK: - For people

extension RetentionCommands {
  private static func text(_ plan: RetentionPlan, listing: Bool) -> String {
    var text = Shown.prose("as of \(Shown.time(plan.cut)), \(rule(plan.policy))", indent: 9)
    text +=
      "archive  \(Shown.count(plan.leaving.count, "mission")) with \(Shown.count(plan.rows, "row")), "
      + "\(Shown.bytes(plan.bytes))\n"
    let stays = RetentionPlan.Reason.allCases.compactMap { reason in
      plan.staying[reason].map { "\($0) \(reason.rawValue)" }
    }
    if !stays.isEmpty {
      text += Shown.prose("stay     missions: " + stays.joined(separator: " · "), indent: 9)
    }
    for held in plan.held.prefix(20) {
      text += "         \(held.mission), kept by hold \(held.hold)\n"
    }
    for part in plan.partitions {
      text +=
        "archive  log entries \(part.first) to \(part.last): \(Shown.count(part.events, "event")), "
        + "\(Shown.bytes(part.bytes))\n"
    }
    if listing {
      for mission in plan.leaving {
        text +=
          "         \(mission.mission)  \(mission.status.rawValue)  \(Shown.time(mission.endedAt))\n"
      }
    }
    return text + "plan     \(plan.digest)\n"
  }

  private static func rule(_ policy: RetentionPolicy) -> String {
    func days(_ days: Double?) -> String {
      days.map { "after \(Shown.days($0))" } ?? "never"
    }
    return "policy retention: archive succeeded missions \(days(policy.succeededDays)), "
      + "failed missions \(days(policy.failedDays)), the log \(days(policy.logDays))"
  }

  private static func text(_ report: RetentionReport, _ watch: Stopwatch) -> String {
    var text =
      "archived \(Shown.count(report.left, "mission")) into "
      + "\(report.stores.joined(separator: ", ")), in \(watch.text)\n"
    if report.leftBefore > 0 {
      text += "\(Shown.count(report.leftBefore, "mission")) archived before\n"
    }
    if report.events > 0 {
      text += "archived \(Shown.count(report.events, "event")) of the log\n"
    }
    for mission in report.held { text += "stays: \(mission), a hold keeps it\n" }
    for mission in report.changed {
      text += "stays: \(mission), it changed since the plan; run retention plan again\n"
    }
    for (mission, error) in report.refused {
      text += Terminal.printable("stays: \(mission), the database refuses: \(error)") + "\n"
    }
    return text
  }
}

// MARK: - For scripts

extension RetentionCommands {
  private static func json(_ plan: RetentionPlan, _ out: inout JSONObjectWriter) {
    out.string("digest", plan.digest)
    out.string("as_of", plan.cut.description)
    out.list("leaving", plan.leaving) { mission, out in
      out.string("mission_id", mission.mission.description)
      out.string("status", mission.status.rawValue)
      out.string("ended_at", mission.endedAt.description)
    }
    out.int("rows", plan.rows)
    out.int("bytes", plan.bytes)
    out.object("staying") { staying in
      for (reason, count) in plan.staying { staying.int(reason.rawValue, count) }
    }
    out.list("held", plan.held) { held, out in
      out.string("mission_id", held.mission.description)
      out.string("hold_id", held.hold.description)
    }
    out.list("partitions", plan.partitions) { partition, out in
      out.int("first", partition.first)
      out.int("last", partition.last)
      out.int("events", partition.events)
      out.int("bytes", partition.bytes)
    }
  }

  private static func json(_ report: RetentionReport, _ out: inout JSONObjectWriter) {
    out.bool("ok", report.isComplete)
    out.string("plan", report.plan)
    out.int("left", report.left)
    out.int("left_before", report.leftBefore)
    out.list("held", report.held.map(\.description))
    out.list("changed", report.changed.map(\.description))
    out.list("refused", report.refused) { refused, out in
      out.string("mission_id", refused.0.description)
      out.string("code", refused.1.code.rawValue)
      out.string("error", refused.1.message)
    }
    out.int("partitions", report.partitions)
    out.int("events", report.events)
    out.list("stores", report.stores)
  }
}
