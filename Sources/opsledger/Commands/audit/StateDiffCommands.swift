import Host
import JSON
import Ledger
import Log
import Replay

/// `state diff`, `bisect`: find what changed, and when.
enum StateDiffCommands {
  static let diff = Command(
    group: .audit, name: "state diff",
    summary: "show the rows that differ between two moments, and the events that changed them",
    arguments: [
      .init(name: "A", help: "the earlier moment: " + StateCommands.whenHelp),
      .init(name: "B", help: "the later moment"),
    ],
    options: [
      .value(
        "limit", "N", "describe at most N rows (100), in the order of their last changes")
    ],
    notes: [
      "Rows beyond the limit are counted. For each row the first \(StateDiff.eventsMax) events are named."
    ],
    examples: [
      "state diff 41 45": "what entries 42 to 45 did to the tables",
      "state diff -1h -0s --limit 20": "what the last hour changed",
    ]
  ) { (call) throws(OpsError) in
    let (first, second) = (try When(call.argument(0)), try When(call.argument(1)))
    let limit = try call.integer("limit", in: 0...1_000_000) ?? 100
    let session = try call.session()
    let (from, to) = (try session.moment(first), try session.moment(second))
    let snapshots = try call.snapshots(session.target)
    let diff = try ReplayCommands.watched("state diff") { (progress) throws(OpsError) in
      try TimeTravel.diff(
        session.target, from: from.entry, to: to.entry, limit: limit, snapshots: snapshots,
        progress)
    }
    call.note(snapshots)
    call.print(text(diff, from, to)) { json(diff, from, to, &$0) }
    return .fine
  }

  static let bisect = Command(
    group: .audit, name: "bisect",
    summary: "find the entry at which the answer to a question became yes",
    options: [
      .value("query", "SQL", "a SELECT of one boolean", isRequired: true),
      .value("from", "WHEN", "a moment at which it is false (before the first entry)"),
      .value("to", "WHEN", "a moment at which it is true (the last sealed entry)"),
      .flag("first", "find the first such entry: ask at every earlier one, too"),
    ],
    notes: [
      "NULL, and no row, count as false. The query has the tables and the limits of state at --query.",
      "If the answer changes more than once, bisect finds one of the changes from false to true, and says so. It "
        + "builds at most 2·log2(n)+5 states for n entries; with --first one more for each earlier entry that changed "
        + "a table of the query.",
    ],
    examples: [
      "bisect --query 'SELECT 5 < count(*) FROM ops_step_dead_letters'":
        "since when are there more than five dead letters?",
      "bisect --first --query 'SELECT count(*) > 0 FROM ops_missions WHERE status = $$failed$$'":
        "when did a mission first fail, even if it was retried since?",
      "bisect --from -2d --query 'SELECT version >= 4 FROM ops_policy WHERE key = $$loop$$'":
        "who changed that policy?",
    ]
  ) { (call) throws(OpsError) in
    guard let sql = call.text("query") else { throw .badInput("bisect needs --query") }
    let whens = (try when("from", call), try when("to", call))
    let session = try call.session()
    let from = if let when = whens.0 { try session.moment(when).entry } else { Int64(0) }
    let to =
      if let when = whens.1 { try session.moment(when).entry } else { try session.sealed() }
    let snapshots = try call.snapshots(session.target)
    let found = try ReplayCommands.watched("bisect") { (progress) throws(OpsError) in
      try TimeTravel.bisect(
        sql, session.target, from: from, to: to, first: call.flag("first"), snapshots: snapshots,
        progress)
    }
    var (events, count) = ([LoggedEvent](), 0)
    var query = LogQuery(limit: .max, keeps: .first)
    query.entries = found.entry...found.entry
    try session.log(query) { event in
      count += 1
      if events.count < bisectedMax { events.append(event) }
    }
    call.print(text(found, events, count)) { json(found, events, count, &$0) }
    if !call.wantsJSON {
      call.note("hint: opsledger log show --entry \(found.entry) prints the whole entry")
    }
    return .fine
  }

  /// The number of events that are printed of the entry.
  private static let bisectedMax = 20

  private static func text(_ found: Bisection, _ events: [LoggedEvent], _ count: Int) -> String {
    let at = events.first.map { ", recorded \(Shown.fineTime($0.recordedAt)) UTC" } ?? ""
    let what =
      found.isFirst
      ? "the first entry at which it became true"
      : "an entry at which it became true; it may have been true before (--first finds the first)"
    var text = "entry \(found.entry)\(at): \(what)\n"
    text +=
      "it was false at entry \(found.before), the one before; found by building "
      + "\(Shown.count(found.statesBuilt, "state"))\n"
    for event in events { text += "  \(line(event))\n    of \(event.stream)\n" }
    return text
      + (count > events.count ? "  and \(Shown.count(count - events.count, "event")) more\n" : "")
  }

  private static func json(
    _ found: Bisection, _ events: [LoggedEvent], _ count: Int, _ out: inout JSONObjectWriter
  ) {
    out.int("entry", found.entry)
    out.bool("first", found.isFirst)
    out.int("false_at", found.before)
    out.optional("recorded_at", events.first?.recordedAt.description)
    out.int("states_built", found.statesBuilt)
    out.list("events", events) { $0.write(to: &$1) }
    out.int("event_count", count)
  }

  private static func when(_ option: String, _ call: Invocation) throws(OpsError) -> When? {
    guard let text = call.text(option) else { return nil }
    return try When(text)
  }
}

// MARK: - For people

extension StateDiffCommands {
  /// `41.0  mission.created v1  heartbeat`
  private static func line(_ event: LoggedEvent) -> String {
    Shown.packed(
      [
        "\(event.entry).\(event.index)", Shown.fineTime(event.recordedAt),
        Terminal.printable("\(event.type) v\(event.version)"), Terminal.printable(event.actor),
      ], indent: 6)
  }

  private static func text(_ diff: StateDiff, _ from: Moment, _ to: Moment) -> String {
    var text = "from \(StateCommands.line(from))\nto   \(StateCommands.line(to))\n"
    text +=
      "\(Shown.count(diff.rowCount, "row")) \(diff.rowCount == 1 ? "differs" : "differ"), "
      + "changed by \(Shown.count(diff.events, "event"))\n"
    if diff.rowCount == 0 { return text }
    text += TextTable(
      diff.counts.sortedByKey,
      [
        .whole("TABLE") { $0.key }, .number("INSERTED") { Shown.count($0.value.inserted) },
        .number("CHANGED") { Shown.count($0.value.changed) },
        .number("REMOVED") { Shown.count($0.value.removed) },
      ]
    ).text()
    for row in diff.rows { text += "\n" + block(row) }
    if diff.leftOut > 0 {
      text += "\n\(Shown.count(diff.leftOut, "row")) not shown; --limit shows more\n"
    }
    return text
  }

  private static func block(_ row: RowChange) -> String {
    func shown(_ value: Value) -> String {
      Terminal.printable(value.printed.map { Shown.brief($0, 200) } ?? "NULL")
    }
    var text = Terminal.printable("\(row.table) \(row.key.printed ?? "") \(row.kind.rawValue)")
    text += "\n"
    for column in row.columns {
      switch row.kind {
      case .changed: text += "  \(column.name): \(shown(column.from)) → \(shown(column.to))\n"
      case .inserted where !column.to.isNull: text += "  \(column.name): \(shown(column.to))\n"
      case .removed where !column.from.isNull: text += "  \(column.name): \(shown(column.from))\n"
      case .inserted, .removed: break
      }
    }
    for event in row.events { text += "  by \(line(event))\n" }
    let left = row.eventCount - row.events.count
    return text + (left > 0 ? "  and \(Shown.count(left, "event")) more\n" : "")
  }
}

// MARK: - For scripts

extension StateDiffCommands {
  private static func json(
    _ diff: StateDiff, _ from: Moment, _ to: Moment, _ out: inout JSONObjectWriter
  ) {
    out.object("from") { StateCommands.write(from, to: &$0) }
    out.object("to") { StateCommands.write(to, to: &$0) }
    out.int("events", diff.events)
    out.json(
      "counts",
      .object(
        diff.counts.mapValues { count in
          .object([
            "inserted": .int(count.inserted), "changed": .int(count.changed),
            "removed": .int(count.removed),
          ])
        }))
    out.list("rows", diff.rows, json)
    out.int("left_out", diff.leftOut)
  }

  private static func json(_ row: RowChange, _ out: inout JSONObjectWriter) {
    out.string("table", row.table)
    out.string("row", row.key.printed ?? "")
    out.string("change", row.kind.rawValue)
    out.object("columns") { columns in
      for column in row.columns {
        columns.object(column.name) { values in
          column.from.write(to: &values, as: "from")
          column.to.write(to: &values, as: "to")
        }
      }
    }
    out.list("events", row.events) { $0.write(to: &$1) }
    out.int("event_count", row.eventCount)
  }
}
