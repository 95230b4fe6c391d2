import Archive
import Host
import JSON
import Ledger
import Log
import Replay

/// `verify`, `rebuild`: compare the tables with the log, and write them from it.
enum ReplayCommands {
  /// Further differences are counted, and not printed.
  static let printedMax = 200

  static let verify = Command(
    group: .audit, name: "verify",
    summary: "replay the log and compare it with the tables, row by row, column by column",
    notes: [
      "It reads the database as of one moment, blocks nobody, and slows down while others record.",
      "It also hashes the log, and compares it with every Merkle root that a push recorded, and with each store that is "
        + "named (--store, OPS_STORE). Exit 1: something differs, or a store cannot be read.",
    ],
    examples: [
      "verify": "do the tables equal the log?",
      "--store /backup/ops verify": "and does the log equal the store?",
    ]
  ) { (call) throws(OpsError) in
    let watch = Stopwatch()
    let session = try call.session(isCourteous: true)
    let (stores, unread) = try histories(call, session)
    var report = try watched("verify") { (progress) throws(OpsError) in
      try Verifier.run(session.target, against: stores, progress)
    }
    report.unreadStores += unread
    for warning in report.warnings { call.note("warning: \(warning)") }
    call.print(text(report, watch)) { json(report, &$0) }
    return report.isEqual && report.unreadStores.isEmpty ? .fine : .no
  }

  /// The named stores: those to compare the log with, and those that cannot be read. An empty place is only a warning.
  private static func histories(
    _ call: Invocation, _ session: Session
  ) throws(OpsError) -> ([StoreHistory], [UnreadStore]) {
    var stores: [StoreHistory] = []
    var unread: [UnreadStore] = []
    for files in try call.stores().isEmpty ? [] : call.openStores() {
      do throws(OpsError) {
        stores.append(try StoreHistory(files, of: session))
      } catch {
        guard error.code == .notFound else {
          if error.code == .databaseUnreachable { throw error }
          unread.append(UnreadStore(place: files.place, error: error))
          continue
        }
        call.note("warning: the log was not compared with \(files.place): no store is there yet")
      }
    }
    return (stores, unread)
  }

  static let rebuild = Command(
    group: .recover, name: "rebuild",
    summary: "repair the tables from the log: write the rows that differ, and no others",
    options: [.flag("check", "only say what it would write; exit 1 if a row differs")],
    notes: [
      "Readers continue; writers wait while it writes. Your own triggers, grants, policies, indexes and columns "
        + "stay. The log records the rebuild with what it found. If the log itself is damaged, rebuild names the "
        + "place, writes nothing, and exits 1: see opsledger restore."
    ],
    examples: [
      "rebuild --check": "which rows would it write?",
      "rebuild": "write them",
    ]
  ) { (call) throws(OpsError) in
    let watch = Stopwatch()
    let target = try call.session().target
    let (actor, checkOnly) = (try call.actor, call.flag("check"))
    let report = try watched("rebuild") { (progress) throws(OpsError) in
      try Rebuilder.run(target, actor: actor, checkOnly: checkOnly, progress)
    }
    call.print(text(report, watch)) { json(report, watch, &$0) }
    switch report.outcome {
    case .equal, .rebuilt: return .fine
    case .wouldWrite, .refused: return .no
    }
  }

  /// Shows the progress of a replay.
  static func watched<Report>(
    _ label: String, _ replay: (ReplayProgress) throws(OpsError) -> Report
  ) throws(OpsError) -> Report {
    let progress = Progress(label, unit: "events")
    defer { progress.finish() }
    return try replay(ReplayProgress { progress.show(done: $0, of: $1) })
  }
}

// MARK: - For people

extension ReplayCommands {
  private static func text(_ report: VerifyReport, _ watch: Stopwatch) -> String {
    let rows = report.rows.values.reduce(0, +)
    var text =
      "compared \(Shown.count(rows, "row")) with the replay of "
      + "\(Shown.count(report.events, "event")), up to entry \(report.entry), in \(watch.text)\n"
    text += TextTable(
      report.rows.sortedByKey,
      [.whole("  TABLE") { "  " + $0.key }, .number("ROWS") { Shown.count($0.value) }]
    ).text()
    if !report.notCovered.isEmpty {
      text += "not compared, since they do not belong to the ledger: "
      text += report.notCovered.map(Terminal.printable).joined(separator: ", ") + "\n"
    }
    if report.roots > 0 {
      text +=
        "compared the log with \(Shown.count(report.roots, "recorded root")): it is unchanged up to "
        + "entry \(report.provenEntry)\n"
    }
    for store in report.unreadStores {
      text +=
        Terminal.printable("the log was not compared with \(store.place): \(store.error)") + "\n"
      if let hint = store.error.hint { text += Terminal.printable("hint: \(hint)") + "\n" }
    }
    if report.isEqual { return text + "equal: every row, in every ledger column\n" }
    return text + differences(report)
      + (report.logProblems > 0
        ? "the log itself is damaged in \(Shown.count(report.logProblems, "place")); "
          + "rebuild cannot repair that\n" + restoring
        : report.bookkeepingProblems == report.differenceCount
          ? "the tables equal the log; bookkeeping tables of schema ledger do not\n"
            + "hint: opsledger rebuild makes them again\n"
          : "hint: opsledger rebuild writes the rows that differ\n")
  }

  private static let restoring =
    "hint: opsledger restore brings back entries from a store; with --to it makes another database from the store\n"

  private static func differences(_ report: VerifyReport) -> String {
    var text = Shown.count(report.differenceCount, "difference") + "\n"
    for difference in report.differences.prefix(printedMax) { text += "  \(line(difference))\n" }
    let left = report.differenceCount - min(printedMax, report.differences.count)
    return left > 0 ? text + "  and \(Shown.count(left)) more (--json has them)\n" : text
  }

  /// `ops_missions 0193…: status is failed, the log says succeeded`
  private static func line(_ difference: Difference) -> String {
    let row = Terminal.printable("\(difference.table) \(difference.row)")
    if difference.column == "*" {
      return difference.found == nil
        ? "\(row): missing, the log has it" : "\(row): extra, the log does not have it"
    }
    func shown(_ text: String?) -> String {
      Terminal.printable(text.map { Shown.brief($0, 200) } ?? "NULL")
    }
    return "\(row) \(Terminal.printable(difference.column)): "
      + "expected \(shown(difference.expected)), found \(shown(difference.found))"
  }

  private static func text(_ report: RebuildReport, _ watch: Stopwatch) -> String {
    switch report.outcome {
    case .equal:
      return "the tables equal the log (\(Shown.count(report.found.events, "event")), "
        + "\(watch.text)); nothing was written\n" + report.droppedConstraints.text
    case .wouldWrite:
      return "the tables differ from the log; rebuild would write the rows named here\n"
        + differences(report.found)
    case .refused:
      return "the log itself is damaged; nothing was written\n" + differences(report.found)
        + restoring
    case .rebuilt:
      return
        "rebuilt the tables from \(Shown.count(report.found.events, "event")) in \(watch.text)"
        + (report.entry.map { ", recorded in entry \($0)\n" } ?? "\n") + written(report)
        + report.droppedConstraints.text
    }
  }

  private static func written(_ report: RebuildReport) -> String {
    let written = report.written.sortedByKey.filter { $0.value.total > 0 }
    guard !written.isEmpty else { return "" }
    return TextTable(
      written,
      [
        .whole("  TABLE") { "  " + $0.key }, .number("INSERTED") { Shown.count($0.value.inserted) },
        .number("UPDATED") { Shown.count($0.value.updated) },
        .number("REMOVED") { Shown.count($0.value.removed) },
      ]
    ).text()
  }
}

// MARK: - For scripts

extension ReplayCommands {
  private static func json(_ report: VerifyReport, _ out: inout JSONObjectWriter) {
    out.bool("ok", report.isEqual && report.unreadStores.isEmpty)
    out.int("entry", report.entry)
    out.int("events", report.events)
    out.json("rows", .object(report.rows.mapValues(JSON.int)))
    out.list("differences", report.differences, json)
    out.int("difference_count", report.differenceCount)
    out.int("roots", report.roots)
    out.int("proven_entry", report.provenEntry)
    out.list("stores_unread", report.unreadStores) { store, out in
      out.string("store", store.place)
      out.string("error", "\(store.error)")
    }
    out.list("not_covered", report.notCovered)
    out.list("warnings", report.warnings)
  }

  private static func json(_ difference: Difference, _ out: inout JSONObjectWriter) {
    out.string("table", difference.table)
    out.string("row", difference.row)
    out.string("column", difference.column)
    out.optional("expected", difference.expected)
    out.optional("found", difference.found)
  }

  private static func json(
    _ report: RebuildReport, _ watch: Stopwatch, _ out: inout JSONObjectWriter
  ) {
    let (outcome, isDone) =
      switch report.outcome {
      case .equal: ("equal", true)
      case .rebuilt: ("rebuilt", true)
      case .wouldWrite: ("would_write", false)
      case .refused: ("refused", false)
      }
    out.bool("ok", isDone)
    out.string("outcome", outcome)
    out.optional("entry", report.entry)
    out.object("written") { tables in
      for (name, count) in report.written.sortedByKey {
        tables.object(name) { out in
          out.int("inserted", count.inserted)
          out.int("updated", count.updated)
          out.int("removed", count.removed)
        }
      }
    }
    out.json("dropped_constraints", report.droppedConstraints.json)
    out.object("found") { json(report.found, &$0) }
    out.json("seconds", .number("\(Double(watch.elapsedMillis) / 1000)"))
  }
}

extension RepairCount {
  var total: Int { inserted + updated + removed }
}
