import Archive
import Host
import JSON
import Ledger
import Log

/// `retention plan|apply`, `archive restore`: what leaves the database, and comes back.
enum RetentionCommands {
  static let all = [plan, apply, restore]

  static let plan = Command(
    group: .keep, name: "retention plan",
    summary: "say what would leave the database by policy retention, what stays, and why",
    options: [.init(name: "list", help: "name every mission that would leave")],
    notes: [
      "It changes nothing. It needs a store only where a part of the log has left the database and a hold is on a "
        + "source or a time. The digest that it prints names what would leave, for retention apply: what was looked "
        + "at is what is done."
    ],
    examples: [.init(line: "retention plan", meaning: "what is old enough?")]
  ) { (call) throws(OpsError) in
    let plan = try call.session().retentionPlan()
    if call.wantsJSON {
      Output.standard.line(json(plan))
    } else {
      Output.standard.write(text(plan, listing: call.flag("list")))
    }
    return .fine
  }

  static let apply = Command(
    group: .keep, name: "retention apply", summary: "archive what a plan names, then let it leave",
    options: [
      .init(name: "plan", value: "DIGEST", help: "what retention plan printed", isRequired: true)
    ],
    notes: [
      "Everything is pushed into the stores, and read back from each, before anything leaves. A mission to which "
        + "something happened since the plan, or on which a hold was placed, stays (exit 1). Killed at any moment, "
        + "the same command goes on."
    ],
    examples: [
      .init(
        line: "retention apply --plan 1795813200-5d0c93… --store /backup/ops",
        meaning: "with the digest that retention plan printed")
    ]
  ) { (call) throws(OpsError) in
    let watch = Stopwatch()
    let (session, stores, actor) = (try call.session(), try call.openStores(), try call.actor)
    let digest = call.text("plan") ?? ""
    let report = try ReplayCommands.watched("retention") { (progress) throws(OpsError) in
      try Retention(session, stores, actor: actor, progress).apply(plan: digest)
    }
    if call.wantsJSON {
      Output.standard.line(json(report))
    } else {
      Output.standard.write(text(report, watch))
    }
    return report.isComplete ? .fine : .no
  }

  static let restore = Command(
    group: .recover, name: "archive restore",
    summary: "bring an archived mission back into the tables",
    options: [
      .init(name: "mission", value: "ID", help: "the mission's id", isRequired: true)
    ],
    notes: [
      "Its rows, and those that left with it, come back as they were but for their versions, which go on. "
        + "Retention takes it again by the rule, unless a hold keeps it."
    ],
    examples: [
      .init(
        line: "archive restore --mission 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f --store /backup/ops",
        meaning: "ids are in mission history")
    ]
  ) { (call) throws(OpsError) in
    guard let id = try call.id(option: "mission", of: "mission") else { return .unreadable }
    let restored = try MissionRestorer(try call.session(), actor: try call.actor).run(id)
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.string("mission_id", id.description)
      out.int("archived_entry", restored.archived)
      out.int("entry", restored.entry)
      out.int("rows", restored.rows)
      if let hold = restored.hold { out.string("hold_id", hold.description) }
      Output.standard.line(out.finish())
    } else {
      Output.standard.line(
        "mission \(id) is back with \(Shown.count(restored.rows, "row")), recorded in entry \(restored.entry)"
          + (restored.hold.map { "; hold \($0) keeps it from leaving again" } ?? "")
      )
    }
    return .fine
  }
}

// MARK: - For people

extension RetentionCommands {
  private static func text(_ plan: RetentionPlan, listing: Bool) -> String {
    var text = Shown.prose("as of \(Shown.time(plan.cut)), \(rule(plan.policy))", indent: 6)
    text +=
      "leave  \(Shown.count(plan.leaving.count, "mission")) with \(Shown.count(Int(plan.rows), "row")), "
      + "\(Shown.bytes(plan.bytes))\n"
    let stays = RetentionPlan.Reason.allCases.compactMap { reason in
      plan.staying[reason].map { "\($0) \(reason.rawValue)" }
    }
    if !stays.isEmpty {
      text += Shown.prose("stay   missions: " + stays.joined(separator: " · "), indent: 7)
    }
    for held in plan.held.prefix(20) { text += "       \(held.mission) by hold \(held.hold)\n" }
    for part in plan.partitions {
      text +=
        "leave  log entries \(part.first) to \(part.last): \(Shown.count(Int(part.events), "event")), "
        + "\(Shown.bytes(part.bytes))\n"
    }
    if listing {
      for mission in plan.leaving {
        text +=
          "       \(mission.mission)  \(mission.status.rawValue)  \(Shown.time(mission.endedAt))\n"
      }
    }
    return text + "plan   \(plan.digest)\n"
  }

  private static func rule(_ policy: RetentionPolicy) -> String {
    func days(_ days: Double?) -> String {
      days.map { "after \(Shown.days($0))" } ?? "never"
    }
    return "missions leave \(days(policy.succeededDays)) where they succeeded, "
      + "\(days(policy.failedDays)) where they failed; the log \(days(policy.logDays))"
  }

  private static func text(_ report: RetentionReport, _ watch: Stopwatch) -> String {
    var text =
      "\(Shown.count(report.left, "mission")) left, in \(watch.text); held in "
      + report.stores.joined(separator: ", ") + "\n"
    if report.leftBefore > 0 {
      text += "\(Shown.count(report.leftBefore, "mission")) had left before\n"
    }
    if report.events > 0 {
      text += "\(Shown.count(Int(report.events), "event")) left the log\n"
    }
    for mission in report.held { text += "stays: \(mission), which a hold keeps\n" }
    for mission in report.changed {
      text += "stays: \(mission), to which something happened since; plan again\n"
    }
    for (mission, error) in report.refused {
      text += Terminal.printable("stays: \(mission), which the database refuses: \(error)") + "\n"
    }
    return text
  }
}

// MARK: - For scripts

extension RetentionCommands {
  private static func json(_ plan: RetentionPlan) -> String {
    var out = JSONObjectWriter()
    out.string("digest", plan.digest)
    out.string("as_of", plan.cut.description)
    out.json(
      "leaving",
      .array(
        plan.leaving.map {
          .object([
            "mission_id": .string($0.mission.description), "status": .string($0.status.rawValue),
            "ended_at": .string($0.endedAt.description),
          ])
        }))
    out.int("rows", plan.rows)
    out.int("bytes", plan.bytes)
    out.json(
      "staying",
      .object(
        Dictionary(uniqueKeysWithValues: plan.staying.map { ($0.rawValue, JSON.int($1)) })))
    out.json(
      "held",
      .array(
        plan.held.map {
          .object([
            "mission_id": .string($0.mission.description), "hold_id": .string($0.hold.description),
          ])
        }))
    out.json(
      "partitions",
      .array(
        plan.partitions.map {
          .object([
            "first": .int($0.first), "last": .int($0.last), "events": .int($0.events),
            "bytes": .int($0.bytes),
          ])
        }))
    return out.finish()
  }

  private static func json(_ report: RetentionReport) -> String {
    var out = JSONObjectWriter()
    out.bool("ok", report.isComplete)
    out.string("plan", report.plan)
    out.int("left", report.left)
    out.int("left_before", report.leftBefore)
    out.json("held", .array(report.held.map { .string($0.description) }))
    out.json("changed", .array(report.changed.map { .string($0.description) }))
    out.json(
      "refused",
      .array(
        report.refused.map { mission, error in
          .object([
            "mission_id": .string(mission.description), "code": .string(error.code.rawValue),
            "error": .string(error.message),
          ])
        }))
    out.int("partitions", report.partitions)
    out.int("events", report.events)
    out.json("stores", .array(report.stores.map(JSON.string)))
    return out.finish()
  }
}
