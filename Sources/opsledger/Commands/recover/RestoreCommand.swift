import Archive
import Host
import JSON
import Ledger
import Log
import Replay

/// `restore`: brings a database back from its store, and tables back to a moment.
enum RestoreCommand {
  static let restore = Command(
    group: .recover, name: "restore",
    summary: "bring a database back from a store, or its tables back to a moment",
    options: [
      .value("to", "URL", "the database to restore: empty, old, or moved (else --database)"),
      .value("at", "WHEN", "then set the tables back to an entry, a time or -2h; needs --why"),
      .flag("allow-loss", "if every store is damaged, restore up to the damage; needs --why"),
      .whyOptional,
    ],
    notes: [
      "Missing entries come back from the store: all of them, the last hours, or none if the database only moved. Then "
        + "the tables are made from the log, and compared. Entries that the store does not have yet stay. Until it is "
        + "done, also after an interruption, the database records nothing else. An empty database needs a login that "
        + "may create roles and event triggers.",
      "If the database and the store have diverged, restore names the first entry that differs, and changes nothing "
        + "(OPS_015): see archive fork.",
      "Several stores are copies of one history, in any order. An entry that one lacks is read from another. If no "
        + "store has it, restore names it, and changes nothing. With --allow-loss it restores up to there, and the log "
        + "records the loss. Then push to a new store: the old one refuses this database (OPS_015).",
      "If there never was a store, --why alone resolves a database that is a copy or has moved. It never allocates "
        + "the same entry numbers as the other copy.",
      "--at adds one entry that makes the tables what they were. The log keeps what happened since, and the loop is "
        + "halted. It lists steps that ran since and would run again; resume then needs --run-again. Without a store, "
        + "the log in the database must be whole.",
    ],
    examples: [
      "--store /backup/ops restore --to postgresql://postgres@/ops":
        "brings back everything, after a disaster",
      "--store /backup/ops restore": "resolves a stale copy, or a promoted standby",
      "restore --at 2026-11-24T14:00:00Z --why 'a wrong policy'": "the tables as they were then",
    ]
  ) { (call) throws(OpsError) in
    let watch = Stopwatch()
    let why = try call.prose("why")
    let when = try call.text("at").map { (text) throws(OpsError) in try When(text) }
    if when != nil, why == nil { throw .badInput("--at needs --why") }
    let allowsLoss = call.flag("allow-loss")
    if allowsLoss, why == nil { throw .badInput("--allow-loss needs --why") }
    if why == nil, try call.stores().isEmpty {
      throw OpsError(
        .databaseUnreachable, "no store is named",
        hint: "name one: --store DIR, or OPS_STORE; if there never was one, say --why")
    }
    let files = try call.stores().isEmpty ? [] : call.openStores()
    var target = try target(call)
    target.application = "opsledger restore"
    let actor = try call.actor
    let progress = Progress("restore", unit: "events")
    defer { progress.finish() }
    let replay = ReplayProgress { progress.show(done: $0, of: $1) }
    var (text, out) = ("", JSONObjectWriter())
    if files.isEmpty {
      let found = try resolve(target, why ?? "", actor, replay)
      if when == nil || found.isChange { text += found.text }
      found.write(to: &out)
    } else {
      let report = try Restorer(
        target, files, actor: actor, why: why, allowsLoss: allowsLoss, replay
      ).run()
      for what in report.quarantined { call.note("warning: skipped: \(what)") }
      text += Self.text(report, files.map(\.place).joined(separator: " and "), watch)
      json(report, &out)
    }
    if let when, let why {
      let moment = try Session(target).moment(when)
      let report = try TimeTravel.goBack(
        target, to: moment.entry, why: why, actor: actor, replay)
      text += Self.text(report, moment.recordedAt)
      json(report, &out)
    }
    progress.finish()
    out.json("seconds", .number("\(Double(watch.elapsedMillis) / 1000)"))
    Output.standard.write(call.wantsJSON ? out.finish() + "\n" : text)
    return .fine
  }

  private static func target(_ call: Invocation) throws(OpsError) -> Session.Target {
    guard let named = call.text("to") else { return try call.target(as: .superuser) }
    guard DatabaseChoice.isConnectionString(named) else {
      throw .badInput("--to needs a PostgreSQL URL", hint: "postgresql://user@host/name")
    }
    var target = Session.Target(url: named)
    if !(try call.stores().isEmpty) { target.archivedLog = try call.storedLog() }
    return target
  }

  /// Without a store, the database's own log must be whole.
  private static func resolve(
    _ target: Session.Target, _ why: String, _ actor: String, _ progress: ReplayProgress
  ) throws(OpsError) -> Resolution {
    let session = try Session(target)
    try session.requireLedger()
    let entry = try session.adoptWithoutStore(why: why, by: actor)
    let rebuilt = try Rebuilder.run(target, actor: actor, checkOnly: false, progress)
    guard case .refused = rebuilt.outcome else {
      return Resolution(
        entry: entry, written: rebuilt.written, droppedConstraints: rebuilt.droppedConstraints)
    }
    throw OpsError(
      .inconsistentRow,
      "the log itself is damaged in \(Shown.count(rebuilt.found.logProblems, "place")), and no store is named",
      hint: "`opsledger verify` names the places; restore with --store")
  }

  private static func rows(_ written: [String: RepairCount]) -> String {
    written.sortedByKey.filter { $0.value.total > 0 }
      .map { "  \($0.key): \(Shown.count($0.value.total, "row")) written\n" }.joined()
  }

  /// A database that was resolved without a store.
  private struct Resolution {
    /// The entry that records it; nil where the database was no copy.
    let entry: Int64?
    let written: [String: RepairCount]
    let droppedConstraints: [DroppedConstraints]

    private var repairs: String { rows(written) + droppedConstraints.text }
    var isChange: Bool { entry != nil || !repairs.isEmpty }

    var text: String {
      (entry.map { "this database may record again, which entry \($0) records" }
        ?? "this database is not a stale copy")
        + (repairs.isEmpty ? "; its tables equal the log\n" : "; its tables were repaired:\n")
        + repairs
    }

    func write(to out: inout JSONObjectWriter) {
      out.string("outcome", entry == nil ? "nothing_to_do" : "moved")
      out.optional("entry", entry)
      out.json("dropped_constraints", droppedConstraints.json)
    }
  }
}

// MARK: - From a store

extension RestoreCommand {
  private static func text(_ report: RestoreReport, _ place: String, _ watch: Stopwatch) -> String {
    let place = Terminal.printable(place)
    var text =
      switch report.outcome {
      case .nothingToDo:
        "nothing to do: the database has every entry of \(place), and its tables equal the log\n"
      case .moved: "the database has every entry of \(place), and may record again\n"
      case .restored:
        "restored \(Shown.count(report.events, "event")) from \(place), made the tables from the log, "
          + "and compared them, in \(watch.text)\n"
      }
    if let lost = report.lost {
      text +=
        "lost: entries \(lost.lowerBound) to \(lost.upperBound); push to a new store from now on\n"
        + "restored up to entry \(report.lastEntry), root \(report.root)\n"
    } else {
      text += "last stored entry: \(report.lastEntry), root \(report.root)\n"
    }
    if report.isAhead { text += "the database keeps the entries after it; push them\n" }
    text += rows(report.written) + report.droppedConstraints.text
    return text + (report.entry.map { "recorded in entry \($0)\n" } ?? "")
  }

  private static func json(_ report: RestoreReport, _ out: inout JSONObjectWriter) {
    let outcome =
      switch report.outcome {
      case .nothingToDo: "nothing_to_do"
      case .moved: "moved"
      case .restored: "restored"
      }
    out.string("outcome", outcome)
    out.int("last_entry", report.lastEntry)
    out.string("root", report.root)
    out.int("events", report.events)
    out.int("segments", report.segments)
    out.bool("ahead", report.isAhead)
    if let lost = report.lost {
      out.json("lost", .array([.int(lost.lowerBound), .int(lost.upperBound)]))
    }
    out.list("quarantined", report.quarantined)
    out.optional("entry", report.entry)
    out.json("dropped_constraints", report.droppedConstraints.json)
  }
}

// MARK: - Back to a moment

extension RestoreCommand {
  private static func text(_ report: PointInTimeRestore, _ recordedAt: Instant?) -> String {
    let (time, again) = (recordedAt.map { " (\(Shown.time($0)))" } ?? "", report.again)
    var text =
      "the tables are as they were after entry \(report.moment)\(time): "
      + "\(Shown.count(report.events, "event")) in entry \(report.entry)\n"
      + rows(report.written) + report.droppedConstraints.text
      + "the log keeps what happened since; `opsledger state at` shows it\n"
      + "the loop is halted until `opsledger resume`\n"
    guard again.count > 0 else { return text }
    text +=
      "\(Shown.count(again.count, "step")) ran since and would run again; "
      + "resume needs --run-again:\n"
    for step in again.steps.prefix(20) { text += "  \(step.shown)\n" }
    return text + (again.count > 20 ? "  and \(again.count - 20) more\n" : "")
  }

  private static func json(_ report: PointInTimeRestore, _ out: inout JSONObjectWriter) {
    out.int("at", report.moment)
    out.int("back_entry", report.entry)
    out.int("back_events", report.events)
    out.json("dropped_constraints", report.droppedConstraints.json)
    out.int("run_again", report.again.count)
    out.list("run_again_steps", report.again.steps.map(\.step.description))
  }
}

extension RunAgain.Step {
  /// `radar 0193…, once more by agent event 0193…`.
  var shown: String {
    let name = Terminal.printable(kind.isEmpty ? "step" : kind)
    guard waitsAs != .step else { return "\(name) \(step)" }
    let what = waitsAs.rawValue.replacing("_", with: " ")
    return "\(name) \(step), once more by \(what) \(waiting)"
  }
}

extension [DroppedConstraints] {
  /// A line each.
  var text: String { map { "  \(Terminal.printable($0.text))\n" }.joined() }
  var json: JSON { .array(map { .string($0.text) }) }
}
