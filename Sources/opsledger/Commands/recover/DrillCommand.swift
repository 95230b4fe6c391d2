import Archive
import Glibc
import Host
import JSON
import Ledger
import Log
import Replay

/// `drill`: could it be restored?
enum DrillCommand {
  static let all = [drill]

  static let drill = Command(
    group: .recover, name: "drill",
    summary: "restore the store for real, elsewhere, and compare it with the live database",
    options: [
      .init(name: "report", value: "FILE", help: "also write what it came to as Markdown"),
      .init(
        name: "scratch", value: "DIR", help: "where the scratch cluster is made (TMPDIR, or /tmp)"),
    ],
    notes: [
      "A process that is given the store and an empty cluster, and knows nothing of the live "
        + "database, restores and verifies; then every row and event is compared with the live log "
        + "as of the store's last entry, and a planted fault must be found. It wants room for a "
        + "second database. The scratch cluster is removed afterwards.",
      "It says what a disaster now would lose (RPO), and how long it would take to be back (RTO), "
        + "and is recorded. Exit 0: passed; 1: it failed, as on a damaged store; 3: it could not run.",
    ],
    examples: [
      .init(
        line: "--store /backup/ops drill --report drill.md", meaning: "once a month, from a timer")
    ]
  ) { (call) throws(OpsError) in
    let stop = StopSignal()
    let stores = try call.openStores()
    let session = try call.session(isCourteous: true)
    for other in stores.dropFirst() { call.note("not drilled: \(other.place); name it alone") }
    let progress = Progress("drill", unit: "events")
    defer { progress.finish() }
    let drill = Drill(
      session, stores[0], in: try scratch(call), storeEnvironment: storeEnvironment(call),
      stop: stop,
      { text in
        progress.finish()
        call.note("drill: \(text)")
      }, ReplayProgress { progress.show(done: $0, of: $1) })
    guard let report = try drill.run(recordedBy: try call.actor) else {
      call.note("the drill was stopped; nothing of it is left")
      return .environment
    }
    progress.finish()
    for warning in report.warnings { call.note("warning: \(warning)") }
    Output.standard.write(call.wantsJSON ? json(report) : text(report))
    if let file = call.text("report") { try write(report, to: file) }
    return report.passed ? .fine : .no
  }

  private static func scratch(_ call: Invocation) throws(OpsError) -> String {
    let named = call.text("scratch") ?? getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    guard let path = FileSystem.realPath(named), FileSystem.status(path)?.kind == .directory else {
      throw .badInput("there is no directory \(named)")
    }
    return path
  }

  /// What a bucket needs; a directory needs nothing. Files are named so that they are found from elsewhere.
  private static func storeEnvironment(_ call: Invocation) -> [String: String] {
    var variables = call.environment.values(prefix: "AWS_")
    for (name, value) in variables where name.hasSuffix("_FILE") || name.hasSuffix("_BUNDLE") {
      variables[name] = FileSystem.realPath(value) ?? value
    }
    return variables
  }

  private static func write(_ report: DrillReport, to file: String) throws(OpsError) {
    try onHost { () throws(HostError) in try FileSystem.write(markdown(report), to: file) }
  }
}

// MARK: - For people, and for scripts

extension DrillCommand {
  private static func json(_ report: DrillReport) -> String {
    var members = report.json.objectValue ?? [:]
    members["entry"] = report.entry.map(JSON.int) ?? .null
    members["warnings"] = .array(report.warnings.map(JSON.string))
    return JSON.object(members).text + "\n"
  }

  private static func text(_ report: DrillReport) -> String {
    var text = Facts.text(facts(report), indent: "  ")
    for failure in report.failures { text += "  failed: \(Terminal.printable(failure))\n" }
    return text + (report.passed ? "passed" : "FAILED")
      + (report.entry.map { ", recorded in entry \($0)\n" } ?? "\n")
  }

  private static func facts(_ report: DrillReport) -> [(String, String)] {
    var facts = [("store", report.store)]
    if report.lastEntry > 0 {
      facts.append(("restored", "up to entry \(report.lastEntry), root \(report.root)"))
    }
    facts.append(
      (
        "a disaster now would lose",
        report.lost.map {
          $0.entries == 0
            ? "nothing that is sealed"
            : "\(Shown.count($0.entries, "entry", "entries")), the last \(seconds($0.seconds))"
        } ?? "unknown"
      ))
    facts.append(
      (
        "being back would take",
        "\(seconds(report.seconds)): "
          + report.phases.map { "\(words($0.name)) \(seconds($0.seconds))" }.joined(separator: ", ")
      ))
    facts.append(
      (
        "compared",
        "\(Shown.count(report.rowsCompared, "row")), \(Shown.count(report.eventsCompared, "event"))"
      ))
    facts.append(("planted fault", report.plantedFaultFound ? "found" : "not found"))
    facts.append(
      (
        "not covered",
        report.notCovered.isEmpty ? "nothing" : report.notCovered.joined(separator: ", ")
      ))
    return facts
  }

  private static func seconds(_ seconds: Double) -> String { DurationText.format(seconds: seconds) }

  private static func words(_ name: String) -> String { name.replacing("_", with: " ") }

  private static func markdown(_ report: DrillReport) -> String {
    func cell(_ text: String) -> String {
      Terminal.printable(text).replacing("|", with: "\\|")
    }
    var text = "# Drill: \(report.passed ? "passed" : "failed")\n\n"
    text +=
      "A restore of the store for real, into a scratch database, compared with the live one.\n\n"
    text += "| what | |\n|---|---|\n"
    for (name, value) in facts(report) { text += "| \(cell(name)) | \(cell(value)) |\n" }
    if let entry = report.entry { text += "| recorded in entry | \(entry) |\n" }
    text += "\n## Time to be back\n\n| phase | seconds |\n|---|---:|\n"
    for phase in report.phases {
      text += "| \(words(phase.name)) | \(Shown.decimal(phase.seconds)) |\n"
    }
    text += "| all | \(Shown.decimal(report.seconds)) |\n"
    if !report.failures.isEmpty {
      text += "\n## Why it failed\n\n"
      for failure in report.failures { text += "- \(Terminal.printable(failure))\n" }
    }
    for warning in report.warnings { text += "\nWarning: \(Terminal.printable(warning))\n" }
    return text
  }
}
