import Archive
import Host
import JSON
import Ledger
import Log
import Replay

/// `state at`: the tables as they were.
enum StateCommands {
  static let all = [at]

  /// How a moment is said, for the help of those that take one.
  static let whenHelp =
    "an entry's number (up to the last sealed), a time (UTC unless it has an offset), or -2h"

  static let at = Command(
    group: .audit, name: "state at", summary: "show the tables as they were at any moment",
    arguments: [.init(name: "WHEN", help: whenHelp)],
    options: [
      .init(
        name: "query", value: "SQL",
        help: "run one statement that reads against them, and print as psql --csv does"),
      .init(name: "into", value: "SCHEMA", help: "leave them in a schema that does not exist yet"),
      .init(name: "mission", value: "ID", help: "one mission with its proposal, steps and runs"),
    ],
    notes: [
      "A time means the greatest sealed entry that was recorded at or before it, which is printed.",
      "The query names tables and views without a schema. Its tables are temporary: they are gone "
        + "with its session, however that ends. It can write nothing. One that reads a live table, "
        + "by its schema or through a view of your own, is refused.",
      "With a store (--store, OPS_STORE) it begins with the newest snapshot up to the moment, and "
        + "reads only the log after it; a query's tables are made where it names them. What of a "
        + "snapshot is damaged is said, and an older one or the log is used.",
      "--into leaves plain tables without keys, whole or not at all; DROP SCHEMA … CASCADE removes "
        + "them. In the private PostgreSQL it uses the superuser's login.",
    ],
    examples: [
      .init(line: "state at 41", meaning: "how many rows there were after entry 41"),
      .init(
        line: "state at -2h --query 'SELECT status, count(*) FROM ops_missions GROUP BY 1'",
        meaning: "any question about two hours ago"),
      .init(
        line: "state at 2026-11-24T14:00Z --into before_the_fire", meaning: "for a longer look"),
      .init(
        line: "state at 41 --mission 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f",
        meaning: "one mission as it stood"),
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
    if call.wantsJSON {
      Output.standard.line(json(counts, moment))
    } else {
      Output.standard.write(text(moment) + text(counts))
    }
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
      call.note("warning: a function of the query read \(table) as it is now")
    }
    return .fine
  }

  private static func write(
    _ schema: String, at moment: Moment, _ snapshots: StoredSnapshots?, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    // The engine's login of the private one may make no schema.
    let target = try call.target(as: .superuser)
    let rows = try ReplayCommands.watched("state at") { (progress) throws(OpsError) in
      try TimeTravel.write(target, at: moment.entry, into: schema, from: snapshots, progress)
    }
    if call.wantsJSON {
      var out = JSONObjectWriter()
      write(moment, to: &out)
      out.string("schema", schema)
      out.json("rows", .object(rows.mapValues(JSON.int)))
      Output.standard.line(out.finish())
    } else {
      Output.standard.write(
        text(moment) + "\(Shown.count(rows.values.reduce(0, +), "row")) in schema \(schema)\n")
    }
    return .fine
  }

  private static func print(
    _ id: StreamID, at moment: Moment, _ session: Session, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    let state = try session.mission(id, at: moment.entry)
    if call.wantsJSON {
      Output.standard.line(json(state, moment))
      return .fine
    }
    Output.standard.write(text(moment) + "\n")
    printRow(state.mission, call)
    if let proposal = state.proposal {
      Output.standard.line("\nproposal")
      printRow(proposal, call)
    }
    Output.standard.line("")
    StepCommands.printSteps(state.steps, call)
    guard !state.runs.isEmpty else { return .fine }
    var table = TextTable("RUN", "STEP", "STATUS", "STARTED (UTC)", "COMPLETED (UTC)")
    for run in state.runs {
      table.add([
        run.id.description, run.stepID?.description ?? "", run.status.rawValue,
        Shown.time(run.startedAt), Shown.time(run.completedAt),
      ])
    }
    Output.standard.write("\n" + table.text())
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
    line += last == moment.entry ? "" : "a gap; the one before it, \(last), was "
    line += "recorded \(Shown.fineTime(at)) UTC"
    if moment.isProvisional {
      line += "; provisional, since nothing later is sealed yet"
    }
    return line
  }

  private static func text(_ moment: Moment) -> String { "as of \(line(moment))\n" }

  private static func text(_ counts: StateCounts) -> String {
    var table = TextTable([
      .init(title: "TABLE", canShrink: false), .init(title: "ROWS", alignsRight: true),
      .init(title: "OF THEM"),
    ])
    for (name, count) in counts.tables.sorted(by: { $0.key < $1.key }) {
      let statuses = count.statuses.sorted { $0.key < $1.key }
        .map { "\(Shown.count($0.value)) \($0.key)" }
      table.add([name, Shown.count(count.rows), statuses.joined(separator: ", ")])
    }
    return table.text()
  }
}

// MARK: - For scripts

extension StateCommands {
  static func write(_ moment: Moment, to out: inout JSONObjectWriter) {
    out.int("entry", moment.entry)
    out.json("last_entry", moment.last.map(JSON.int) ?? .null)
    out.json("recorded_at", .optional(moment.recordedAt?.description))
    out.bool("provisional", moment.isProvisional)
  }

  private static func json(_ counts: StateCounts, _ moment: Moment) -> String {
    var out = JSONObjectWriter()
    write(moment, to: &out)
    out.int("events", counts.events)
    out.json("rows", .object(counts.tables.mapValues { .int($0.rows) }))
    let statuses = counts.tables.filter { !$0.value.statuses.isEmpty }
    out.json("statuses", .object(statuses.mapValues { .object($0.statuses.mapValues(JSON.int)) }))
    return out.finish()
  }

  private static func json(_ state: MissionState, _ moment: Moment) -> String {
    var out = JSONObjectWriter()
    write(moment, to: &out)
    out.raw("mission", state.mission.json)
    out.raw("proposal", state.proposal?.json ?? "null")
    out.raw("steps", "[" + state.steps.map(\.json).joined(separator: ",\n ") + "]")
    out.raw("runs", "[" + state.runs.map(\.json).joined(separator: ",\n ") + "]")
    return out.finish()
  }
}
