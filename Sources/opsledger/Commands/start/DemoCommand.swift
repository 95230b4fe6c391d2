import Demo
import Host
import Ledger
import Log
import OpsLoop
import Postgres
import Replay

/// `demo`: a simulated day of the loop, with a disaster at its end.
enum DemoCommand {
  /// The demo's own database in the private PostgreSQL: its clock is simulated.
  static let databaseName = "opsledger_demo"

  static let demo = Command(
    group: .start, name: "demo",
    summary: "simulate a day, empty the tables, rebuild them from the log, and verify",
    notes: [
      "It makes a private PostgreSQL in .opsledger/ if there is none, and in it a new database for the demo. The clock "
        + "is simulated, so that the day takes seconds. The database stays for you to look at."
    ],
    examples: ["demo": "shows the main functions in less than a minute"]
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
        "the demo lacks what it should show: "
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
    let counts = TextTable(
      report.counts, [.words("event") { $0.0 }, .number("count") { String($0.1) }])
    let classes = report.failureClasses.sortedByKey
      .map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    Output.standard.write(
      """

      What happened
      =============
      Agents reported \(report.eventsEmitted) events over one day, simulated in \(seconds(report.daySeconds)).
      The log shows what they led to:

      \(counts.text())
      Failed attempts, by class: \(classes)

      """)
  }

  private static func printHistory(
    of mission: StreamID, _ cluster: PrivatePostgres
  ) throws(OpsError) {
    Output.standard.write("\nOne mission's history\n=====================\n")
    let session = try Session(
      Session.Target(
        url: cluster.url(login: .engine, database: databaseName), application: "opsledger demo"))
    Output.standard.write(Timeline(try session.history(ofMission: mission)).text())
  }

  private static func printRecovery(_ report: Demo.Report) {
    let out = Output.standard
    let emptied = Dictionary(uniqueKeysWithValues: report.rowsEmptied.map { ($0.table, $0.rows) })
    let table = TextTable(
      report.rowsBefore,
      [
        .words("table") { $0.0 }, .number("rows before") { String($0.1) },
        .number("emptied") { String(emptied[$0.0] ?? 0) },
        .number("rebuilt") { String(report.rebuild?.written[$0.0]?.inserted ?? 0) },
      ])
    let events = report.rebuild?.found.events ?? 0
    out.write(
      """

      The disaster
      ============
      A superuser emptied all eight tables, without a trace in the log.
      rebuild made them again from the log:

      \(table.text())
      rebuild  replayed \(events) events, and wrote the rows in \(seconds(report.rebuildSeconds))

      """)
    guard let verify = report.verify else { return }
    let rows = verify.rows.values.reduce(0, +)
    let verdict =
      verify.isEqual ? "EQUAL to the log" : "\(verify.differenceCount) DIFFERENCES from the log"
    out.line(
      "verify   replayed \(verify.events) events, and compared \(rows) rows column by column in "
        + "\(seconds(report.verifySeconds)): \(verdict)\n")
  }

  /// Each command works as it is printed, whatever database the environment names.
  private static func printNextCommands(_ report: Demo.Report, _ cluster: PrivatePostgres) {
    let program = "opsledger --database '\(cluster.url(login: .engine, database: databaseName))'"
    var commands = ["\(program) mission list"]
    if let mission = report.mission { commands.append("\(program) mission history \(mission)") }
    commands.append("psql '\(cluster.url(login: .person, database: databaseName))'")
    Output.standard.write(
      "Look around:\n" + commands.map { "  \($0)\n" }.joined()
        + "Make a ledger of your own: opsledger init\n")
  }

  private static func seconds(_ value: Double) -> String { DurationText.format(seconds: value) }
}
