import Demo
import Host
import Ledger
import Log
import OpsLoop
import Postgres
import Replay

/// `demo`: the main job, on a made-up day, with a disaster at its end.
enum DemoCommand {
  static let all = [demo]

  /// The demo's own database in the private PostgreSQL: its clock is not a real one.
  static let databaseName = "opsledger_demo"

  static let demo = Command(
    group: .start, name: "demo",
    summary: "run a made-up day, empty the tables, rebuild them from the log, and verify",
    notes: [
      "Makes a private PostgreSQL in .opsledger/ where there is none, and in it a database of its "
        + "own, made anew each time. Its clock does not wait, so that a day takes seconds. It stays "
        + "for you to look at."
    ],
    examples: [.init(line: "demo", meaning: "takes less than a minute")]
  ) { (call) throws(OpsError) in
    let wasThere = try call.findPrivatePostgres()?.isRunning ?? false
    if !wasThere { call.note("starting a private PostgreSQL in .opsledger/") }
    let cluster = try call.makePrivatePostgres()
    try makeDatabase(cluster)
    let report = try Demo(
      superuserURL: cluster.url(login: .superuser, database: databaseName),
      engineURL: cluster.url(login: .engine, database: databaseName)
    ) { line in call.note(line) }.run()
    printReport(report)
    if let mission = report.mission { try printHistory(of: mission, cluster) }
    printRecovery(report)
    printNextCommands(report, cluster)
    guard report.missing.isEmpty else {
      throw OpsError(
        .conflict,
        "the demo did not show what it promises: "
          + report.missing.joined(separator: "; "))
    }
    return .fine
  }

  private static func makeDatabase(_ cluster: PrivatePostgres) throws(OpsError) {
    do throws(PostgresError) {
      let connection = try Connection(
        url: cluster.url(login: .superuser, database: "postgres"),
        applicationName: "opsledger demo")
      try connection.execute("DROP DATABASE IF EXISTS \(databaseName) WITH (FORCE)")
      try connection.execute("CREATE DATABASE \(databaseName)")
      connection.close()
    } catch {
      throw OpsError(database: error)
    }
  }

  // MARK: - The report

  private static func printReport(_ report: Demo.Report) {
    let out = Output.standard
    out.line("")
    out.line("What happened")
    out.line("=============")
    out.line(
      "\(report.eventsEmitted) agent events were emitted over one day, played in "
        + "\(seconds(report.daySeconds)). The log says what came of them:")
    out.line("")
    var table = TextTable([
      .init(title: "event"), .init(title: "count", alignsRight: true),
    ])
    for (type, count) in report.counts { table.add([type, String(count)]) }
    out.write(table.text())
    let classes = report.failureClasses.sorted { $0.key < $1.key }
      .map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    out.line("")
    out.line("Attempts that failed, by class: \(classes)")
  }

  private static func printHistory(
    of mission: StreamID, _ cluster: PrivatePostgres
  ) throws(OpsError) {
    Output.standard.line("")
    Output.standard.line("One mission's history")
    Output.standard.line("=====================")
    let session = try Session(
      Session.Target(
        url: cluster.url(login: .engine, database: databaseName), application: "opsledger demo"))
    Output.standard.write(Timeline(try session.history(ofMission: mission)).text())
  }

  private static func printRecovery(_ report: Demo.Report) {
    let out = Output.standard
    out.line("")
    out.line("The disaster")
    out.line("============")
    out.line("All eight tables were emptied, behind the ledger's back, and rebuilt from the log:")
    out.line("")
    var table = TextTable([
      .init(title: "table"), .init(title: "rows before", alignsRight: true),
      .init(title: "emptied", alignsRight: true), .init(title: "rebuilt", alignsRight: true),
    ])
    let emptied = Dictionary(uniqueKeysWithValues: report.rowsEmptied.map { ($0.table, $0.rows) })
    for (name, rows) in report.rowsBefore {
      let written = report.rebuild?.written[name]?.inserted ?? 0
      table.add([name, String(rows), String(emptied[name] ?? 0), String(written)])
    }
    out.write(table.text())
    out.line("")
    let events = report.rebuild?.found.events ?? 0
    out.line("rebuild  \(events) events folded, written in \(seconds(report.rebuildSeconds))")
    guard let verify = report.verify else { return }
    let rows = verify.rows.values.reduce(0, +)
    let verdict =
      verify.isEqual ? "EQUAL to the log" : "\(verify.differenceCount) DIFFERENCES from the log"
    out.line(
      "verify   \(verify.events) events replayed, \(rows) rows compared column by column in "
        + "\(seconds(report.verifySeconds)): \(verdict)")
    out.line("")
  }

  /// Each works as it is printed, whatever the environment names and whatever else is in the private PostgreSQL.
  private static func printNextCommands(_ report: Demo.Report, _ cluster: PrivatePostgres) {
    let program = "opsledger --database '\(cluster.url(login: .engine, database: databaseName))'"
    var commands = ["\(program) mission list"]
    if let mission = report.mission { commands.append("\(program) mission history \(mission)") }
    commands.append("psql '\(cluster.url(login: .person, database: databaseName))'")
    Output.standard.line("Look around:")
    for command in commands { Output.standard.line("  \(command)") }
    Output.standard.line("A ledger of your own: opsledger init")
  }

  private static func seconds(_ value: Double) -> String { DurationText.format(seconds: value) }
}
