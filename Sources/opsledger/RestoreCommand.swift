import Archive
import Host
import JSON
import Ledger
import Log

/// `restore`: the database from its store.
enum RestoreCommand {
  static let all = [restore]

  static let restore = Command(
    group: .recover, name: "restore",
    summary: "bring a database to have every entry that the store has",
    options: [
      .init(name: "to", value: "URL", help: "the database; empty, old, or moved (else --database)")
    ],
    notes: [
      "Whatever is missing comes back: all of it, its last hours, or nothing where it only moved. "
        + "The tables are made from the log and compared; what the database has beyond the store "
        + "stays. While it runs, and where it was cut short, nothing else is recorded there. Where "
        + "both have entries that the other lacks, it names the first that differs and changes "
        + "nothing (OPS_015).",
      "An empty database wants a login that may create roles and event triggers.",
    ],
    examples: [
      .init(
        line: "--store /backup/ops restore --to postgresql://postgres@/ops",
        meaning: "everything, after a disaster"),
      .init(line: "--store /backup/ops restore", meaning: "settle a copy, or a promoted standby"),
    ]
  ) { (call) throws(OpsError) in
    let watch = Stopwatch()
    let files = try call.openStores()[0]
    let store = try Store.existing(files)
    let named = call.text("to").map { Session.Target(url: $0) }
    var target = if let named { named } else { try call.target(as: .superuser) }
    target.application = "opsledger restore"
    let progress = Progress("restore", unit: "events")
    defer { progress.finish() }
    let report = try Restorer(
      target, store, actor: try call.actor,
      ReplayProgress { progress.show(done: $0, of: $1) }
    ).run()
    if call.wantsJSON {
      Output.standard.line(json(report, watch))
    } else {
      Output.standard.write(text(report, store, watch))
    }
    return .fine
  }

  private static func text(
    _ report: RestoreReport, _ store: Store, _ watch: Stopwatch
  ) -> String {
    let place = Terminal.printable(store.files.place)
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
    text += "the store's tip is entry \(report.tip), root \(report.root)\n"
    if report.isAhead { text += "what the database has beyond it stays; push it\n" }
    for (name, count) in report.written.sorted(by: { $0.key < $1.key }) {
      let rows = count.inserted + count.updated + count.removed
      if rows > 0 { text += "  \(name): \(Shown.count(rows, "row")) written\n" }
    }
    if let entry = report.entry { text += "recorded in entry \(entry)\n" }
    return text
  }

  private static func json(_ report: RestoreReport, _ watch: Stopwatch) -> String {
    let outcome =
      switch report.outcome {
      case .nothingToDo: "nothing_to_do"
      case .moved: "moved"
      case .restored: "restored"
      }
    var out = JSONObjectWriter()
    out.string("outcome", outcome)
    out.int("tip", report.tip)
    out.string("root", report.root)
    out.int("events", report.events)
    out.int("segments", report.segments)
    out.bool("ahead", report.isAhead)
    out.json("entry", report.entry.map(JSON.int) ?? .null)
    out.json("seconds", .number("\(Double(watch.elapsedMillis) / 1000)"))
    return out.finish()
  }
}
