import Host
import JSON
import Ledger
import Log
import Replay

/// `state diff`, `bisect`: what changed, and when.
enum StateDiffCommands {
  static let all = [diff, bisect]

  static let diff = Command(
    group: .audit, name: "state diff",
    summary: "show the rows that differ between two moments, and what made the difference",
    arguments: [
      .init(name: "A", help: "the earlier moment: " + StateCommands.whenHelp),
      .init(name: "B", help: "the later one"),
    ],
    options: [
      .init(
        name: "limit", value: "N",
        help: "describe at most so many rows (100), in the order of their last changes")
    ],
    notes: [
      "What is left out is counted. Of one row's events the first \(StateDiff.eventsMax) are named."
    ],
    examples: [
      .init(line: "state diff 41 45", meaning: "what those entries did to the tables"),
      .init(line: "state diff -1h -0s --limit 20", meaning: "what the last hour changed"),
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
    if call.wantsJSON {
      Output.standard.line(json(diff, from, to))
    } else {
      Output.standard.write(text(diff, from, to))
    }
    return .fine
  }

  static let bisect = Command(
    group: .audit, name: "bisect",
    summary: "find an entry at which the answer to a question became yes",
    options: [
      .init(
        name: "query", value: "SQL", help: "one statement that gives one boolean",
        isRequired: true),
      .init(name: "from", value: "WHEN", help: "where it is still false (before the first entry)"),
      .init(name: "to", value: "WHEN", help: "where it is true (the last sealed entry)"),
      .init(name: "first", help: "the first such entry, by asking at every one before it"),
    ],
    notes: [
      "NULL, and no row, count as false. The query sees what that of state at sees, and may no more.",
      "Where the answer changes more than once, it is one of the changes from false to true, and says so. It builds "
        + "at most 2·log2(n)+5 states for n entries; with --first one more for each entry before it that changed a "
        + "table which the query reads.",
    ],
    examples: [
      .init(
        line: "bisect --query 'SELECT 5 < count(*) FROM ops_step_dead_letters'",
        meaning: "since when are there more than five dead steps?"),
      .init(
        line:
          "bisect --first --query 'SELECT count(*) > 0 FROM ops_missions WHERE status = $$failed$$'",
        meaning: "the first time that a mission had failed, also where it was tried again since"),
      .init(
        line:
          "bisect --from -2d --query 'SELECT version >= 4 FROM ops_policy WHERE key = $$loop$$'",
        meaning: "who changed that policy? opsledger log show --entry has all of the entry"),
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
    if call.wantsJSON {
      Output.standard.line(json(found, events, count))
    } else {
      Output.standard.write(text(found, events, count))
      call.note("hint: opsledger log show --entry \(found.entry) has all of it")
    }
    return .fine
  }

  /// Of the entry that was found so many events are named.
  private static let bisectedMax = 20

  private static func text(_ found: Bisection, _ events: [LoggedEvent], _ count: Int) -> String {
    let at = events.first.map { ", recorded \(Shown.fineTime($0.recordedAt)) UTC" } ?? ""
    let what =
      found.isFirst
      ? "the first entry at which it became true"
      : "an entry at which it became true; it may have been true before, --first finds the first"
    var text = "entry \(found.entry)\(at): \(what)\n"
    text +=
      "before it, as of entry \(found.before), it was false; found with "
      + "\(Shown.count(found.statesBuilt, "state"))\n"
    for event in events { text += "  \(line(event))\n    of \(event.stream)\n" }
    return text
      + (count > events.count ? "  and \(Shown.count(count - events.count, "event")) more\n" : "")
  }

  private static func json(_ found: Bisection, _ events: [LoggedEvent], _ count: Int) -> String {
    var out = JSONObjectWriter()
    out.int("entry", found.entry)
    out.bool("first", found.isFirst)
    out.int("false_at", found.before)
    out.json("recorded_at", .optional(events.first?.recordedAt.description))
    out.int("states_built", found.statesBuilt)
    out.raw("events", "[" + events.map(\.json).joined(separator: ",\n ") + "]")
    out.int("event_count", count)
    return out.finish()
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
      "\(Shown.count(diff.rowCount, "row")) of the tables "
      + "\(diff.rowCount == 1 ? "differs" : "differ"), "
      + "by \(Shown.count(diff.events, "event"))\n"
    if diff.rowCount == 0 { return text }
    var table = TextTable([
      .init(title: "TABLE", canShrink: false), .init(title: "INSERTED", alignsRight: true),
      .init(title: "CHANGED", alignsRight: true), .init(title: "REMOVED", alignsRight: true),
    ])
    for (name, count) in diff.counts.sorted(by: { $0.key < $1.key }) {
      table.add(
        [name] + [count.inserted, count.changed, count.removed].map { Shown.count($0) })
    }
    text += table.text()
    for row in diff.rows { text += "\n" + block(row) }
    if diff.leftOut > 0 {
      text += "\n\(Shown.count(diff.leftOut, "row")) left out; --limit shows more\n"
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
  private static func json(_ diff: StateDiff, _ from: Moment, _ to: Moment) -> String {
    func moment(_ moment: Moment) -> String {
      var out = JSONObjectWriter()
      StateCommands.write(moment, to: &out)
      return out.finish()
    }
    var out = JSONObjectWriter()
    out.raw("from", moment(from))
    out.raw("to", moment(to))
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
    out.raw("rows", "[" + diff.rows.map(json).joined(separator: ",\n ") + "]")
    out.int("left_out", diff.leftOut)
    return out.finish()
  }

  private static func json(_ row: RowChange) -> String {
    var columns = JSONObjectWriter()
    for column in row.columns {
      var values = JSONObjectWriter()
      column.from.write(to: &values, as: "from")
      column.to.write(to: &values, as: "to")
      columns.raw(column.name, values.finish())
    }
    var out = JSONObjectWriter()
    out.string("table", row.table)
    out.string("row", row.key.printed ?? "")
    out.string("change", row.kind.rawValue)
    out.raw("columns", columns.finish())
    out.raw("events", "[" + row.events.map(\.json).joined(separator: ", ") + "]")
    out.int("event_count", row.eventCount)
    return out.finish()
  }
}
