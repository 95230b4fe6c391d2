import Archive
import Host
import JSON
import Ledger
import Log
import Replay

/// `state at`: the tables as they were.
enum StateCommands {
  /// Explains a moment, for the help of commands that take one.
  static let whenHelp =
    "a sealed entry's number, a time (UTC unless it has an offset), or a duration ago: -2h"

  static let at = Command(
    group: .audit, name: "state at", summary: "show the tables as they were at any moment",
    arguments: [.init(name: "WHEN", help: whenHelp)],
    options: [
      .value(
        "query", "SQL", "run one SELECT on those tables, and print as psql --csv does"),
      .value("into", "SCHEMA", "write those tables into a new schema"),
      .value("mission", "ID", "show one mission with its proposal, steps and runs"),
    ],
    notes: [
      "A time means the last sealed entry recorded at or before it. The command prints that entry.",
      "The query names tables and views without a schema. It reads temporary copies, and can write nothing. A query "
        + "that reads a live table, by its schema or through a view of your own, is refused.",
      "With a store (--store, OPS_STORE) it begins with the newest snapshot before the moment, and reads only the "
        + "log after it. If a snapshot is damaged, it says so, and uses an older one or the whole log.",
      "--into makes plain tables without keys, all of them or none; DROP SCHEMA … CASCADE removes "
        + "them. In the private PostgreSQL it uses the superuser's login.",
    ],
    examples: [
      "state at 41": "how many rows there were after entry 41",
      "state at -2h --query 'SELECT status, count(*) FROM ops_missions GROUP BY 1'":
        "answers a question about two hours ago",
      "state at 2026-11-24T14:00Z --into before_the_fire": "keeps the tables for more queries",
      "state at 41 --mission \(Command.someID)": "one mission as it was then",
    ]
  ) { (call) throws(OpsError) in
    let when = try When(call.argument(0))
    let mission = try call.id(option: "mission", of: "mission")
    let (query, schema) = (call.text("query"), call.text("into"))
    guard [query != nil, schema != nil, mission != nil].count(where: { $0 }) <= 1 else {
      throw .badInput("--query, --into and --mission exclude each other")
    }
    let session = try call.session()
    let moment = try session.moment(when)
    if let mission { return try print(mission, at: moment, session, call) }
    let snapshots = try call.snapshots(session.target)
    defer { call.note(snapshots) }
    if let query { return try print(query, at: moment, session, snapshots, call) }
    if let schema { return try write(schema, at: moment, snapshots, call) }
    let counts = try ReplayCommands.watched("state at") { (progress) throws(OpsError) in
      try TimeTravel.counts(session.target, at: moment.entry, from: snapshots, progress)
    }
    call.print(text(moment) + text(counts)) { json(counts, moment, &$0) }
    return .fine
  }

  private static func print(
    _ sql: String, at moment: Moment, _ session: Session, _ snapshots: StoredSnapshots?,
    _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    call.note("as of \(line(moment))")
    var printer = RowPrinter(json: call.wantsJSON)
    let live = try ReplayCommands.watched("state at") { (progress) throws(OpsError) in
      try TimeTravel.query(
        sql, session.target, at: moment.entry, from: snapshots, on: session, progress,
        head: { printer.begin($0) }, each: { printer.print($0) })
    }
    printer.end()
    for table in live {
      call.note("warning: a function in the query read \(table) as it is now, not as it was")
    }
    return .fine
  }

  private static func write(
    _ schema: String, at moment: Moment, _ snapshots: StoredSnapshots?, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    // The engine's login may not create a schema.
    let target = try call.target(as: .superuser)
    let rows = try ReplayCommands.watched("state at") { (progress) throws(OpsError) in
      try TimeTravel.write(target, at: moment.entry, into: schema, from: snapshots, progress)
    }
    call.print(text(moment) + "\(Shown.count(rows.values.reduce(0, +), "row")) in schema \(schema)")
    { out in
      write(moment, to: &out)
      out.string("schema", schema)
      out.json("rows", .object(rows.mapValues(JSON.int)))
    }
    return .fine
  }

  private static func print(
    _ id: StreamID, at moment: Moment, _ session: Session, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    let state = try session.mission(id, at: moment.entry)
    call.print(text(state, moment)) { json(state, moment, &$0) }
    return .fine
  }
}

// MARK: - For people

extension StateCommands {
  /// `entry 41, recorded 2026-11-24 06:00:28.123 UTC`
  static func line(_ moment: Moment) -> String {
    guard let last = moment.last, let at = moment.recordedAt else {
      return "entry \(moment.entry), before the first"
    }
    var line = "entry \(moment.entry), "
    line += last == moment.entry ? "" : "which has no events; the one before it, \(last), was "
    line += "recorded \(Shown.fineTime(at)) UTC"
    return line + (moment.isProvisional ? "; provisional, since no later entry is sealed yet" : "")
  }

  private static func text(_ moment: Moment) -> String { "as of \(line(moment))\n" }

  private static func text(_ counts: StateCounts) -> String {
    TextTable(
      counts.tables.sortedByKey,
      [
        .whole("TABLE") { $0.key }, .number("ROWS") { Shown.count($0.value.rows) },
        .words("BY STATUS") { _, count in
          count.statuses.sortedByKey.map { "\(Shown.count($0.value)) \($0.key)" }
            .joined(separator: ", ")
        },
      ]
    ).text()
  }

  private static func text(_ state: MissionState, _ moment: Moment) -> String {
    var text = text(moment) + "\n" + state.mission.facts
    if let proposal = state.proposal { text += "\nproposal\n" + proposal.facts }
    text += "\n" + StepCommands.table(state.steps)
    guard !state.runs.isEmpty else { return text }
    let runs = TextTable(
      state.runs,
      [
        .whole("RUN") { $0.id.description }, .whole("STEP") { $0.stepID?.description ?? "" },
        .whole("STATUS") { $0.status.rawValue },
        .whole("STARTED (UTC)") { Shown.time($0.startedAt) },
        .whole("COMPLETED (UTC)") { Shown.time($0.completedAt) },
      ])
    return text + "\n" + runs.text()
  }
}

// MARK: - For scripts

extension StateCommands {
  static func write(_ moment: Moment, to out: inout JSONObjectWriter) {
    out.int("entry", moment.entry)
    out.optional("last_entry", moment.last)
    out.optional("recorded_at", moment.recordedAt?.description)
    out.bool("provisional", moment.isProvisional)
  }

  private static func json(_ counts: StateCounts, _ moment: Moment, _ out: inout JSONObjectWriter) {
    write(moment, to: &out)
    out.int("events", counts.events)
    out.json("rows", .object(counts.tables.mapValues { .int($0.rows) }))
    let statuses = counts.tables.filter { !$0.value.statuses.isEmpty }
    out.json("statuses", .object(statuses.mapValues { .object($0.statuses.mapValues(JSON.int)) }))
  }

  private static func json(_ state: MissionState, _ moment: Moment, _ out: inout JSONObjectWriter) {
    write(moment, to: &out)
    out.object("mission") { state.mission.write(to: &$0) }
    if let proposal = state.proposal {
      out.object("proposal") { proposal.write(to: &$0) }
    } else {
      out.json("proposal", .null)
    }
    out.list("steps", state.steps) { $0.write(to: &$1) }
    out.list("runs", state.runs) { $0.write(to: &$1) }
  }
}
