import Archive
import Glibc
import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `erase`: removes what people and programs wrote, for good.
enum EraseCommand {
  static let erase = Command(
    group: .keep, name: "erase",
    summary:
      "remove the content of a mission or an agent event from tables, log and stores, for good",
    options: [
      .value("mission", "ID", "this mission, and the agent event that led to it"),
      .value("event", "ID", "this agent event"),
      .value("row", "ID", "any other row, by its id or its stream"), .whyUnlessDry,
      .flag("dry-run", "only list what it would erase"),
    ],
    notes: [
      "Content is what people and programs wrote: templates, params, results, errors, reasons, thoughts. It reads as "
        + "[erased], also in the past. Ids, kinds, statuses, times, counts, hashes and proofs stay. Erasing cannot be "
        + "undone.",
      "Rows with copies are erased as well: the reactions, proposals, missions, steps, runs, radar items and agent "
        + "events that followed, and steps of other missions that read one of these rows (radar list).",
      "Other rows with the same words (eight bytes or more) are listed, and stay. Erase those that are copies with "
        + "--event or --row. Words in structure (a dedupe key, a policy) cannot be erased.",
      "Named stores are written again without the content. Push to the other stores later. Dumps, lagging replicas "
        + "and WAL archives keep the content, and so do the database's pages until VACUUM FULL and a checkpoint.",
    ],
    examples: [
      "erase --mission ID --dry-run": "what would be erased?",
      "erase --mission ID --why 'asked for by letter'": "erases it for good",
    ]
  ) { (call) throws(OpsError) in
    let target = try target(call)
    let engine = try call.engine()
    let isDry = call.flag("dry-run")
    let report = try engine.erase(
      target, why: try call.prose("why") ?? "", onlyLooking: isDry)
    if let fault = report.statistics {
      call.note(
        "warning: the server's statistics (pg_stats) may still hold the content: \(fault). Run the same command "
          + "again, or ANALYZE as the owner of the tables")
    }
    var pushes: [PushReport] = []
    var failure: OpsError?
    if !isDry, try !call.stores().isEmpty {
      for store in try call.openStores() {
        do throws(OpsError) {
          pushes.append(try push(engine.session, store, upTo: report.entry ?? 0))
        } catch {
          failure = failure ?? error
          call.note(
            "warning: \(store.place) may hold the content until the next push to it: \(error)")
        }
      }
    }
    call.print(text(report, pushes, isDry)) { json(report, pushes, &$0) }
    // The database has erased it, even where a store has not.
    if let failure { throw failure }
    return .fine
  }

  /// Pushes until the store has the entry of the erasure: a store erases content when it gets that entry.
  private static func push(
    _ session: Session, _ store: any ObjectStore, upTo entry: Int64
  ) throws(OpsError) -> PushReport {
    let watch = Stopwatch()
    while true {
      let report = try Pusher(session, store).run(mayBegin: false)
      if report.lastEntry >= entry { return report }
      guard watch.elapsedMillis < 30_000 else {
        throw OpsError(
          .conflict, "\(store.place) still holds the content: entry \(entry) is not sealed yet",
          hint: "`opsledger status` names the open transaction; push when it has ended")
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
    default: throw .badInput("erase needs one of --mission ID, --event ID and --row ID")
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
      ? "nothing to erase\n" : isDry ? "would erase \(rows)\n" : "erased \(rows)"
    if let entry = report.entry {
      text += ", in \(Shown.count(report.events, "event")), recorded in entry \(entry)\n"
    }
    text += sameWords(report.sameWords)
    for push in pushes {
      let files = push.erased.count + push.erasedSnapshots.count
      let what =
        files == 0 ? "held none of it" : "\(Shown.count(files, "file")) written again"
      text += "\(Terminal.printable(push.store)): \(what)\n"
    }
    return text
  }

  private static func sameWords(_ found: SameWordsReport) -> String {
    var text = ""
    if !found.rows.isEmpty {
      text += "\(Shown.count(found.rows.count, "other row")) with the same words, not erased:\n"
      for row in found.rows.prefix(shownMax) {
        let rowType = row.rowType.rawValue.replacing("_", with: " ")
        let fields = row.fields.joined(separator: ", ")
        text += Terminal.printable("  \(rowType) \(row.stream): \(fields)") + "\n"
        text +=
          row.isErasable
          ? "    erase --\(row.rowType == .agentEvent ? "event" : "row") \(row.stream)\n"
          : "    structure, cannot be erased\n"
      }
      let more = found.rows.count - shownMax
      if more > 0 { text += "  and \(more) more: see --json\n" }
    }
    if found.commonTexts > 0 {
      text +=
        "not listed: rows with \(Shown.count(found.commonTexts, "text")) that more than a thousand other rows have\n"
    }
    return text
  }

  private static let shownMax = 50

  private static func json(
    _ report: ErasureReport, _ pushes: [PushReport], _ out: inout JSONObjectWriter
  ) {
    out.object("rows") { rows in
      for (rowType, count) in report.rows { rows.int(rowType.rawValue, count) }
    }
    out.int("erased_before", report.erasedBefore)
    out.int("events", report.events)
    out.optional("entry", report.entry)
    out.list("same_words", report.sameWords.rows) { row, out in
      out.string("row_type", row.rowType.rawValue)
      out.string("id", row.stream.description)
      out.list("fields", row.fields)
      out.bool("erasable", row.isErasable)
    }
    out.int("common_texts", report.sameWords.commonTexts)
    out.list("stores", pushes) { push, out in
      out.string("store", push.store)
      out.list("segments", push.erased.map(\.path))
      out.list("snapshots", push.erasedSnapshots.map(\.path))
    }
  }
}
