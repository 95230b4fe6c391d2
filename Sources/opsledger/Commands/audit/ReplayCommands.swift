import Archive
import Host
import JSON
import Ledger
import Log
import Replay

/// `verify`, `rebuild`: the tables against the log.
enum ReplayCommands {
  static let all = [verify, rebuild]

  /// More differences than this are counted, and not printed.
  static let printedMax = 200

  static let verify = Command(
    group: .audit, name: "verify",
    summary: "replay the log and compare it with the tables, row by row, column by column",
    notes: [
      "It reads one moment of the database, and nobody waits for it. While others record it takes its "
        + "time, so that the loop keeps its pace. The log is hashed, and compared with every root that "
        + "pushes have noted; with --store (or OPS_STORE) with each store as well. Exit 1: they differ, or a store cannot be read."
    ],
    examples: [
      .init(line: "verify", meaning: "are the tables what the log says?"),
      .init(
        line: "--store /backup/ops verify", meaning: "and is the log what was pushed to the store?"),
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
    if call.wantsJSON {
      Output.standard.line(json(report))
    } else {
      Output.standard.write(text(report, watch))
    }
    return report.isEqual && report.unreadStores.isEmpty ? .fine : .no
  }

  /// The stores to compare the log with, of those that were named, and those that cannot be read. One that was not begun
  /// has nothing to compare with.
  private static func histories(
    _ call: Invocation, _ session: Session
  ) throws(OpsError) -> ([StoreHistory], [UnreadStore]) {
    guard try !call.stores().isEmpty else { return ([], []) }
    var stores: [StoreHistory] = []
    var unread: [UnreadStore] = []
    for files in try call.openStores() {
      do throws(OpsError) {
        stores.append(try StoreHistory(files, of: session))
      } catch {
        guard error.code == .notFound else {
          if error.code == .databaseUnreachable { throw error }
          unread.append(UnreadStore(place: files.place, error: error))
          continue
        }
        call.note("warning: not compared with \(files.place): nothing is stored there yet")
      }
    }
    return (stores, unread)
  }

  static let rebuild = Command(
    group: .recover, name: "rebuild",
    summary: "make the tables from the log: write the rows that differ, and no others",
    options: [.init(name: "check", help: "only say what it would do; exit 1 if anything")],
    notes: [
      "Readers go on; writers wait while it writes. Triggers, grants, policies, indexes and "
        + "columns of your own stay. It is recorded, with what it found. Where the log itself is "
        + "broken it names where, writes nothing, and exits 1."
    ],
    examples: [
      .init(line: "rebuild --check", meaning: "what would it do?"),
      .init(line: "rebuild", meaning: "do it"),
    ]
  ) { (call) throws(OpsError) in
    let watch = Stopwatch()
    let target = try call.session().target
    let (actor, checkOnly) = (try call.actor, call.flag("check"))
    let report = try watched("rebuild") { (progress) throws(OpsError) in
      try Rebuilder.run(target, actor: actor, checkOnly: checkOnly, progress)
    }
    if call.wantsJSON {
      Output.standard.line(json(report, watch))
    } else {
      Output.standard.write(text(report, watch))
    }
    switch report.outcome {
    case .equal, .rebuilt: return .fine
    case .wouldWrite, .refused: return .no
    }
  }

  /// Shows how far a replay is.
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
    text += counts(report.rows)
    if !report.notCovered.isEmpty {
      text += "not covered, since they are not the ledger's: "
      text += report.notCovered.map(Terminal.printable).joined(separator: ", ") + "\n"
    }
    if report.roots > 0 {
      text +=
        "compared the log with \(Shown.count(report.roots, "noted root")): it is as noted up to "
        + "entry \(report.provenEntry)\n"
    }
    for store in report.unreadStores {
      text += Terminal.printable("not compared with \(store.place): \(store.error)") + "\n"
      if let hint = store.error.hint { text += Terminal.printable("hint: \(hint)") + "\n" }
    }
    if report.isEqual { return text + "equal: every row, in every ledger column\n" }
    return text + differences(report)
      + (report.logProblems > 0
        ? "the log itself is broken in \(Shown.count(report.logProblems, "place")); "
          + "no rebuild can mend that\n" + restoring
        : report.bookkeepingProblems == report.differenceCount
          ? "the tables equal the log; what stands beside it does not\n"
            + "hint: opsledger rebuild makes it again\n"
          : "hint: opsledger rebuild writes the rows that differ\n")
  }

  private static let restoring =
    "hint: opsledger restore puts back what a store has; with --to it makes another database of the store\n"

  private static func counts(_ rows: [String: Int]) -> String {
    var table = TextTable([
      .init(title: "  TABLE", canShrink: false), .init(title: "ROWS", alignsRight: true),
    ])
    for (name, count) in rows.sorted(by: { $0.key < $1.key }) {
      table.add(["  " + name, Shown.count(count)])
    }
    return table.text()
  }

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
        ? "\(row): missing, the log has it" : "\(row): one too many, the log does not have it"
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
      return "the log itself is broken; nothing was written\n" + differences(report.found)
        + restoring
    case .rebuilt:
      return
        "rebuilt the tables from \(Shown.count(report.found.events, "event")) in \(watch.text)"
        + (report.entry.map { ", recorded in entry \($0)\n" } ?? "\n") + written(report)
        + report.droppedConstraints.text
    }
  }

  private static func written(_ report: RebuildReport) -> String {
    var table = TextTable([
      .init(title: "  TABLE", canShrink: false), .init(title: "INSERTED", alignsRight: true),
      .init(title: "UPDATED", alignsRight: true), .init(title: "REMOVED", alignsRight: true),
    ])
    for (name, count) in report.written.sorted(by: { $0.key < $1.key }) {
      let counts = [count.inserted, count.updated, count.removed]
      if counts.contains(where: { $0 > 0 }) {
        table.add(["  " + name] + counts.map { Shown.count($0) })
      }
    }
    return table.isEmpty ? "" : table.text()
  }
}

// MARK: - For scripts

extension ReplayCommands {
  private static func json(_ report: VerifyReport) -> String {
    var out = JSONObjectWriter()
    out.bool("ok", report.isEqual && report.unreadStores.isEmpty)
    out.int("entry", report.entry)
    out.int("events", report.events)
    out.json("rows", .object(report.rows.mapValues(JSON.int)))
    out.raw("differences", "[" + report.differences.map(json).joined(separator: ",\n ") + "]")
    out.int("difference_count", report.differenceCount)
    out.int("roots", report.roots)
    out.int("proven_entry", report.provenEntry)
    out.json(
      "stores_unread",
      .array(
        report.unreadStores.map {
          .object(["store": .string($0.place), "error": .string("\($0.error)")])
        }))
    out.json("not_covered", .array(report.notCovered.map(JSON.string)))
    out.json("warnings", .array(report.warnings.map(JSON.string)))
    return out.finish()
  }

  private static func json(_ difference: Difference) -> String {
    var out = JSONObjectWriter()
    out.string("table", difference.table)
    out.string("row", difference.row)
    out.string("column", difference.column)
    out.json("expected", .optional(difference.expected))
    out.json("found", .optional(difference.found))
    return out.finish()
  }

  private static func json(_ report: RebuildReport, _ watch: Stopwatch) -> String {
    let (outcome, isDone) =
      switch report.outcome {
      case .equal: ("equal", true)
      case .rebuilt: ("rebuilt", true)
      case .wouldWrite: ("would_write", false)
      case .refused: ("refused", false)
      }
    var out = JSONObjectWriter()
    out.bool("ok", isDone)
    out.string("outcome", outcome)
    out.json("entry", report.entry.map(JSON.int) ?? .null)
    out.json(
      "written",
      .object(
        report.written.mapValues { count in
          .object([
            "inserted": .int(count.inserted), "updated": .int(count.updated),
            "removed": .int(count.removed),
          ])
        }))
    out.json("dropped_constraints", report.droppedConstraints.json)
    out.raw("found", json(report.found))
    out.json("seconds", .number("\(Double(watch.elapsedMillis) / 1000)"))
    return out.finish()
  }
}
