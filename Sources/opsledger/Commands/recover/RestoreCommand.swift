import Archive
import Host
import JSON
import Ledger
import Log
import Replay

/// `restore`: the database from its store, and the tables back to a moment.
enum RestoreCommand {
  static let all = [restore]

  static let restore = Command(
    group: .recover, name: "restore",
    summary: "bring a database to have every entry of the store; the tables back to a moment",
    options: [
      .init(name: "to", value: "URL", help: "the database; empty, old, or moved (else --database)"),
      .init(
        name: "at", value: "WHEN",
        help: "then take the tables back: an entry, a time, -2h; wants --why"),
      .init(
        name: "allow-loss",
        help: "of a damaged store, restore up to the damage; wants --why"),
      .init(name: "why", value: "W", help: "the reason, which history keeps"),
    ],
    notes: [
      "Whatever is missing comes back: all of it, its last hours, or nothing where it only moved. "
        + "The tables are made from the log and compared; what the database has beyond the store "
        + "stays. While it runs, and where it was cut short, nothing else is recorded there. Where "
        + "both have entries that the other lacks, it names the first that differs and changes "
        + "nothing (OPS_015).",
      "Where no store was ever kept, --why settles a database that is a copy or moved; what was drawn "
        + "elsewhere is not drawn again here.",
      "--at goes forward: one entry more makes the tables what they were, the log keeps what "
        + "happened since, and the loop is halted. It names the steps that ran since and would run "
        + "again; while there are any, resume wants --run-again. It needs no store where the "
        + "database is whole.",
      "Several stores are copies of one history: what is missing or damaged in one is taken from "
        + "another, whatever their order.",
      "Where no store has an entry it says which cannot be had, and "
        + "changes nothing. With --allow-loss it restores up to there; what is lost is recorded, and "
        + "the ledger goes on in a new store: that one holds what it lacks (OPS_015).",
      "An empty database wants a login that may create roles and event triggers.",
    ],
    examples: [
      .init(
        line: "--store /backup/ops restore --to postgresql://postgres@/ops",
        meaning: "everything, after a disaster"),
      .init(line: "--store /backup/ops restore", meaning: "settle a copy, or a promoted standby"),
      .init(
        line: "restore --at 2026-11-24T14:00:00Z --why 'a wrong policy'",
        meaning: "the tables as they were then"),
    ]
  ) { (call) throws(OpsError) in
    let watch = Stopwatch()
    let why = try call.prose("why")
    let when = try call.text("at").map { (text) throws(OpsError) in try When(text) }
    if when != nil, why == nil { throw .badInput("--at wants --why") }
    let allowsLoss = call.flag("allow-loss")
    if allowsLoss, why == nil { throw .badInput("--allow-loss wants --why") }
    let stores = try call.stores()
    if stores.isEmpty, why == nil {
      throw OpsError(
        .databaseUnreachable, "no store",
        hint: "name one: --store DIR, or OPS_STORE; where there is none, --why settles the database"
      )
    }
    let files = stores.isEmpty ? [] : try call.openStores()
    var target = try target(call)
    target.application = "opsledger restore"
    let progress = Progress("restore", unit: "events")
    defer { progress.finish() }
    let replay = ReplayProgress { progress.show(done: $0, of: $1) }
    var report: (any RestoreText)?
    if !files.isEmpty {
      let restored = try Restorer(
        target, files, actor: try call.actor, why: why, allowsLoss: allowsLoss, replay
      ).run()
      for what in restored.quarantined { call.note("warning: passed over: \(what)") }
      report = FromStore(
        report: restored, place: files.map(\.place).joined(separator: " and "))
    } else {
      report = try settle(target, why ?? "", try call.actor, replay)
    }
    if let when, let why {
      let moment = try Session(target).moment(when)
      let back = try TimeTravel.goBack(
        target, to: moment.entry, why: why, actor: try call.actor, replay)
      report = BackInTime(report: back, recordedAt: moment.recordedAt, first: report)
    }
    progress.finish()
    guard let report else { return .fine }
    if call.wantsJSON {
      var out = JSONObjectWriter()
      report.write(to: &out)
      out.json("seconds", .number("\(Double(watch.elapsedMillis) / 1000)"))
      Output.standard.line(out.finish())
    } else {
      Output.standard.write(report.text(watch))
    }
    return .fine
  }

  private static func target(_ call: Invocation) throws(OpsError) -> Session.Target {
    guard let named = call.text("to") else { return try call.target(as: .superuser) }
    guard DatabaseChoice.isConnectionString(named) else {
      throw .badInput("--to wants a PostgreSQL URL", hint: "postgresql://user@host/name")
    }
    var target = Session.Target(url: named)
    if !(try call.stores().isEmpty) { target.archivedLog = try call.storedLog() }
    return target
  }

  /// Without a store the database itself must be what its log says, and lives here from now on.
  private static func settle(
    _ target: Session.Target, _ why: String, _ actor: String, _ progress: ReplayProgress
  ) throws(OpsError) -> WithoutStore {
    let session = try Session(target)
    try session.requireLedger()
    let entry = try session.adoptWithoutStore(why: why, by: actor)
    let rebuilt = try Rebuilder.run(target, actor: actor, checkOnly: false, progress)
    guard case .refused = rebuilt.outcome else {
      return WithoutStore(
        entry: entry, written: rebuilt.written, droppedConstraints: rebuilt.droppedConstraints)
    }
    throw OpsError(
      .inconsistentRow,
      "the log itself is broken in \(rebuilt.found.logProblems) places, and no store is named",
      hint: "see `opsledger verify`; restore with --store")
  }
}

/// What a restore has to say.
private protocol RestoreText {
  func text(_ watch: Stopwatch) -> String
  func write(to out: inout JSONObjectWriter)
}

/// The database alone.
private struct WithoutStore: RestoreText {
  /// What records that it moved.
  let entry: Int64?
  let written: [String: RepairCount]
  let droppedConstraints: [DroppedConstraints]

  func text(_ watch: Stopwatch) -> String {
    let rows = FromStore.rows(written) + droppedConstraints.text
    let tables = rows.isEmpty ? "its tables equal the log\n" : "its tables were mended:\n" + rows
    guard let entry else { return "the database lives here already, and \(tables)" }
    return "the database lives here from now on, recorded in entry \(entry), and \(tables)"
  }

  func write(to out: inout JSONObjectWriter) {
    out.string("outcome", entry == nil ? "nothing_to_do" : "moved")
    out.json("entry", entry.map(JSON.int) ?? .null)
    out.json("dropped_constraints", droppedConstraints.json)
  }
}

private struct FromStore: RestoreText {
  let report: RestoreReport
  let place: String

  func text(_ watch: Stopwatch) -> String {
    let place = Terminal.printable(place)
    var text: String
    switch report.outcome {
    case .nothingToDo:
      text =
        "nothing to do: the database has every entry of \(place), and its tables equal the log\n"
    case .moved:
      text = "the database has every entry of \(place), and lives here from now on\n"
    case .restored:
      text =
        "put \(Shown.count(report.events, "event")) back from \(place)"
        + ", made the tables, and compared them, in \(watch.text)\n"
    }
    if let lost = report.lost {
      text +=
        "lost: entries \(lost.lowerBound) to \(lost.upperBound); "
        + "push to a new store from now on\n"
      text += "restored up to entry \(report.lastEntry), root \(report.root)\n"
    } else {
      text += "the store's last_entry is entry \(report.lastEntry), root \(report.root)\n"
    }
    if report.isAhead { text += "what the database has beyond it stays; push it\n" }
    text += Self.rows(report.written) + report.droppedConstraints.text
    if let entry = report.entry { text += "recorded in entry \(entry)\n" }
    return text
  }

  static func rows(_ written: [String: RepairCount]) -> String {
    var text = ""
    for (name, count) in written.sorted(by: { $0.key < $1.key }) {
      let rows = count.inserted + count.updated + count.removed
      if rows > 0 { text += "  \(name): \(Shown.count(rows, "row")) written\n" }
    }
    return text
  }

  func write(to out: inout JSONObjectWriter) {
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
    out.json("quarantined", .array(report.quarantined.map(JSON.string)))
    out.json("entry", report.entry.map(JSON.int) ?? .null)
    out.json("dropped_constraints", report.droppedConstraints.json)
  }
}

private struct BackInTime: RestoreText {
  let report: PointInTimeRestore
  let recordedAt: Instant?
  /// What a store gave before.
  let first: (any RestoreText)?

  func text(_ watch: Stopwatch) -> String {
    var text = first?.text(watch) ?? ""
    let time = recordedAt.map { " (\(Shown.time($0)))" } ?? ""
    text +=
      "the tables are what they were after entry \(report.moment)\(time): "
      + "\(Shown.count(report.events, "event")) in entry \(report.entry)\n"
    text += FromStore.rows(report.written) + report.droppedConstraints.text
    text += "what happened since stays in the log: `opsledger state at` shows it\n"
    text += "the loop is halted until `opsledger resume`\n"
    return text + (report.again.count == 0 ? "" : Self.named(report.again))
  }

  private static func named(_ again: RunAgain) -> String {
    var text =
      "\(Shown.count(again.count, "step")) ran since and would run again; "
      + "resume wants --run-again:\n"
    for step in again.steps.prefix(20) { text += "  \(step.shown)\n" }
    if again.count > 20 { text += "  and \(again.count - 20) more\n" }
    return text
  }

  func write(to out: inout JSONObjectWriter) {
    first?.write(to: &out)
    out.int("at", report.moment)
    out.int("back_entry", report.entry)
    out.int("back_events", report.events)
    out.json("back_left_off", report.droppedConstraints.json)
    out.int("run_again", report.again.count)
    out.json("run_again_steps", .array(report.again.steps.map { .string($0.step.description) }))
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
