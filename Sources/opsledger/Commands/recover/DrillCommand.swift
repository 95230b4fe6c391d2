import Archive
import Glibc
import Host
import JSON
import Ledger
import Log
import Replay

/// `drill`: restores a store into a scratch cluster, and compares it with the live database.
enum DrillCommand {
  static let drill = Command(
    group: .recover, name: "drill",
    summary: "restore the store into a scratch cluster, and compare it with the live database",
    options: [
      .value("report", "FILE", "also write the result as Markdown"),
      .value("scratch", "DIR", "where to make the scratch cluster (TMPDIR, or /tmp)"),
    ],
    notes: [
      "A second process, which knows only the store and an empty cluster, restores and verifies. Then the drill compares "
        + "every row and event with the live log as of the last stored entry, and plants a fault that verify must find. "
        + "It needs room for a second database. Afterwards the scratch cluster is removed.",
      "The drill reports what a disaster now would lose (RPO) and how long a restore takes (RTO). The log records it. "
        + "Exit 0: passed; 1: failed, for example on a damaged store; 3: it could not run.",
    ],
    examples: [
      "--store /backup/ops drill --report drill.md": "for example once a month, from a timer"
    ]
  ) { (call) throws(OpsError) in
    let stop = StopSignal()
    let stores = try call.openStores()
    let session = try call.session(isCourteous: true)
    for other in stores.dropFirst() {
      call.note("note: \(other.place) was not drilled; run a drill for it alone")
    }
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
      call.note("the drill was stopped; its scratch cluster is removed")
      return .environment
    }
    progress.finish()
    for warning in report.warnings { call.note("warning: \(warning)") }
    Output.standard.write(call.wantsJSON ? json(report) : text(report))
    if let file = call.text("report") {
      try onHost { () throws(HostError) in try FileSystem.write(markdown(report), to: file) }
    }
    return report.passed ? .fine : .no
  }

  private static func scratch(_ call: Invocation) throws(OpsError) -> String {
    let named = call.text("scratch") ?? getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    guard let path = FileSystem.realPath(named), FileSystem.status(path)?.kind == .directory else {
      throw .badInput("\(named) is not a directory")
    }
    return path
  }

  /// The settings for buckets, with absolute paths: the second process has another working directory.
  private static func storeEnvironment(_ call: Invocation) -> [String: String] {
    var variables = call.environment.values(prefix: "AWS_")
    for (name, value) in variables where name.hasSuffix("_FILE") || name.hasSuffix("_BUNDLE") {
      variables[name] = FileSystem.realPath(value) ?? value
    }
    return variables
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
    let lost = report.lost.map {
      $0.entries == 0
        ? "no sealed entry"
        : "\(Shown.count($0.entries, "entry", "entries")), the last \(seconds($0.seconds))"
    }
    let phases = report.phases.map { "\(words($0.name)) \(seconds($0.seconds))" }
    let (rows, events) = (report.rowsCompared, report.eventsCompared)
    return facts + [
      ("a disaster now would lose", lost ?? "unknown"),
      ("a restore takes", "\(seconds(report.seconds)): \(phases.joined(separator: ", "))"),
      ("compared", "\(Shown.count(rows, "row")), \(Shown.count(events, "event"))"),
      ("planted fault", report.plantedFaultFound ? "found" : "not found"),
      (
        "not restored",
        report.notCovered.isEmpty ? "nothing" : report.notCovered.joined(separator: ", ")
      ),
    ]
  }

  private static func seconds(_ seconds: Double) -> String { DurationText.format(seconds: seconds) }

  private static func words(_ name: String) -> String { name.replacing("_", with: " ") }

  private static func markdown(_ report: DrillReport) -> String {
    func cell(_ text: String) -> String {
      Terminal.printable(text).replacing("|", with: "\\|")
    }
    var text = "# Drill: \(report.passed ? "passed" : "failed")\n\n"
    text +=
      "A restore of the store into a scratch cluster, compared with the live database.\n\n"
    text += "| what | |\n|---|---|\n"
    for (name, value) in facts(report) { text += "| \(cell(name)) | \(cell(value)) |\n" }
    if let entry = report.entry { text += "| recorded in entry | \(entry) |\n" }
    text += "\n## Time to restore\n\n| phase | seconds |\n|---|---:|\n"
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
