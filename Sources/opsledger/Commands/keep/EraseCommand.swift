import Archive
import Glibc
import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `erase`: what people and programs wrote, gone for good.
enum EraseCommand {
  static let all = [erase]

  static let erase = Command(
    group: .keep, name: "erase",
    summary: "take what a mission or an agent event said out of tables, log and stores, for good",
    options: [
      .init(name: "mission", value: "ID", help: "the mission, and the agent event that led to it"),
      .init(name: "event", value: "ID", help: "the agent event"),
      .init(name: "row", value: "ID", help: "any other row, by its id or stream"), .whyUnlessDry,
      .init(name: "dry-run", help: "only say what it would erase"),
    ],
    notes: [
      "What came of it goes with it, since it holds copies: reactions, proposals, missions, steps, runs, "
        + "the radar, what was reported. Templates, params, results, errors, reasons and thoughts "
        + "read as erased at any moment, past ones too; ids, kinds, statuses, times and counts stay, "
        + "and so do all hashes and proofs. There is no way back.",
      "A step of another mission that read such a row (radar list) holds a copy in its result; so does what the loop "
        + "reported of it, and what came of the report. These are erased as well.",
      "Copies that no event names are searched by their words, of eight bytes or more, and listed. They stay: erase "
        + "those that are copies with --event or --row. Words in structure (a dedupe key, a policy) cannot be erased.",
      "Stores are written again without it; name all of them, or push to the others later. What lies "
        + "elsewhere keeps it: dumps, replicas that lag, WAL archives, the pages of the database "
        + "until VACUUM FULL and a checkpoint.",
    ],
    examples: [
      .init(
        line: "erase --mission ID --dry-run", meaning: "what would go?"),
      .init(
        line: "erase --mission ID --why 'asked for by letter'", meaning: "it goes, for good"),
    ]
  ) { (call) throws(OpsError) in
    let target = try target(call)
    let engine = try call.engine()
    let isDry = call.flag("dry-run")
    let report = try engine.erase(
      target, why: try call.prose("why") ?? "", onlyLooking: isDry)
    if let fault = report.statistics {
      call.note(
        "warning: the server's statistics (pg_stats) may still have it: \(fault). Run the same command again, or "
          + "ANALYZE as the owner of the tables")
    }
    var pushes: [PushReport] = []
    var failure: OpsError?
    if !isDry, try !call.stores().isEmpty {
      for store in try call.openStores() {
        do throws(OpsError) {
          pushes.append(try push(engine.session, store, upTo: report.entry ?? 0))
        } catch {
          failure = failure ?? error
          call.note("warning: \(store.place) may still hold it, until a push to it: \(error)")
        }
      }
    }
    if call.wantsJSON {
      Output.standard.line(json(report, pushes))
    } else {
      Output.standard.write(text(report, pushes, isDry))
    }
    // It is erased here for good, whatever became of the stores.
    if let failure { throw failure }
    return .fine
  }

  /// What was erased leaves a store when the event that says so is in it, and that when it is sealed.
  private static func push(
    _ session: Session, _ store: any ObjectStore, upTo entry: Int64
  ) throws(OpsError) -> PushReport {
    let watch = Stopwatch()
    while true {
      let report = try Pusher(session, store).run(mayBegin: false)
      if report.lastEntry >= entry { return report }
      guard watch.elapsedMillis < 30_000 else {
        throw OpsError(
          .conflict, "\(store.place) still holds it: entry \(entry) is not sealed yet",
          hint: "somebody's append is open (see `opsledger status`); push when it has ended")
      }
      usleep(100_000)
    }
  }

  private static func target(_ call: Invocation) throws(OpsError) -> ErasureTarget {
    switch (
      try call.id(option: "mission", of: "mission"), try call.id(option: "event", of: "event"),
      try call.id(option: "row", of: "row")
    ) {
    case (let mission?, nil, nil): return .mission(mission)
    case (nil, let event?, nil): return .event(event)
    case (nil, nil, let row?): return .row(row)
    default: throw .badInput("erase wants one of --mission ID, --event ID and --row ID")
    }
  }

  private static func text(
    _ report: ErasureReport, _ pushes: [PushReport], _ isDry: Bool
  ) -> String {
    let rows = report.rows.sorted { $0.key.rawValue < $1.key.rawValue }.map { rowType, count in
      Shown.count(count, rowType.rawValue.replacing("_", with: " "))
    }.joined(separator: ", ")
    var text =
      rows.isEmpty
      ? "nothing is left to erase\n" : isDry ? "would erase \(rows)\n" : "erased \(rows)"
    if let entry = report.entry {
      text += ", out of \(Shown.count(report.events, "event")), recorded in entry \(entry)\n"
    }
    text += sameWords(report.sameWords)
    for push in pushes {
      let files = push.erased.count + push.erasedSnapshots.count
      let what =
        files == 0 ? "nothing of it was left" : "\(Shown.count(files, "file")) written again"
      text += "\(Terminal.printable(push.store)): \(what)\n"
    }
    return text
  }

  private static func sameWords(_ found: SameWordsReport) -> String {
    var text = ""
    if !found.rows.isEmpty {
      text += "\(Shown.count(found.rows.count, "row")) that stay have the same words:\n"
      for row in found.rows.prefix(shownMax) {
        let rowType = row.rowType.rawValue.replacing("_", with: " ")
        let fields = row.fields.joined(separator: ", ")
        text += Terminal.printable("  \(rowType) \(row.stream): \(fields)") + "\n"
        text +=
          row.isErasable
          ? "    erase --\(row.rowType == .agentEvent ? "event" : "row") \(row.stream)\n"
          : "    structure, which stays\n"
      }
      let more = found.rows.count - shownMax
      if more > 0 { text += "  and \(more) more: see --json\n" }
    }
    if found.commonTexts > 0 {
      text +=
        "\(Shown.count(found.commonTexts, "text")) stand in more than a thousand other rows, and were taken for "
        + "common words\n"
    }
    return text
  }

  private static let shownMax = 50

  private static func json(_ report: ErasureReport, _ pushes: [PushReport]) -> String {
    var rows: [String: JSON] = [:]
    for (rowType, count) in report.rows { rows[rowType.rawValue] = .int(count) }
    var out = JSONObjectWriter()
    out.json("rows", .object(rows))
    out.int("erased_before", report.erasedBefore)
    out.int("events", report.events)
    out.json("entry", report.entry.map(JSON.int) ?? .null)
    out.json(
      "same_words",
      .array(
        report.sameWords.rows.map { row in
          .object([
            "row_type": .string(row.rowType.rawValue), "id": .string(row.stream.description),
            "fields": .array(row.fields.map(JSON.string)), "erasable": .bool(row.isErasable),
          ])
        }))
    out.int("common_texts", report.sameWords.commonTexts)
    out.json(
      "stores",
      .array(
        pushes.map { push in
          .object([
            "store": .string(push.store), "segments": .array(push.erased.map { .string($0.path) }),
            "snapshots": .array(push.erasedSnapshots.map { .string($0.path) }),
          ])
        }))
    return out.finish()
  }
}
