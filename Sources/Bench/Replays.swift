import Ledger
import Log
import Replay

/// Reads of the whole log.
enum Replays {
  static func fold(_ target: Session.Target) throws(OpsError) {
    let start = monotonicSeconds()
    let (events, rows) = try LogFold.count(target)
    report(start, events: events, rows: rows)
  }

  static func rebuild(_ target: Session.Target) throws(OpsError) {
    let start = monotonicSeconds()
    let report = try Rebuilder.run(target, actor: "cli/bench", checkOnly: false)
    guard case .rebuilt = report.outcome else {
      throw OpsError(
        .conflict, "not rebuilt: \(report.outcome) \(report.found.differences.prefix(3))")
    }
    let rows = report.written.values.reduce(0) { $0 + $1.inserted + $1.updated + $1.removed }
    Self.report(start, events: report.found.events, rows: rows)
  }

  static func verify(_ target: Session.Target) throws(OpsError) {
    let start = monotonicSeconds()
    let report = try Verifier.run(target)
    guard report.isEqual else {
      for difference in report.differences.prefix(20) { say("\(difference)", to: 2) }
      throw OpsError(.conflict, "\(report.differenceCount) differences")
    }
    Self.report(start, events: report.events, rows: report.rows.values.reduce(0, +))
  }

  private static func report(_ start: Double, events: Int, rows: Int) {
    say(
      "seconds=\(monotonicSeconds() - start) events=\(events) rows=\(rows) peak_mb=\(peakMegabytes())"
    )
  }
}
