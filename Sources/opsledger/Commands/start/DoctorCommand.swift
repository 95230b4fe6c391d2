import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `doctor`: are the protections in force?
enum DoctorCommand {
  static let all = [doctor]

  static let doctor = Command(
    group: .start, name: "doctor", summary: "check that every protection is in force",
    notes: [
      "Each protection is looked up in the catalogue: PASS, WARN or FAIL, what was seen, and what to do. "
        + "Nothing is changed. Where something fails the exit status is 1.",
      "It needs no superuser. What a superuser can do, only checkpoints kept elsewhere show.",
    ],
    examples: [
      .init(line: "doctor", meaning: "after an upgrade, a restore, or somebody's visit"),
      .init(line: "doctor --json", meaning: "for programs: checks with name, verdict, saw, do"),
    ]
  ) { (call) throws(OpsError) in
    let session = try Session(call.target())
    session.hurry()
    let missing = try requireLedger(session)
    let engine = Engine(session, actor: try call.actor("doctor"), settings: try call.loopSettings())
    let findings = try missing + session.examine() + [policies(engine)]
    let worst = findings.map(\.verdict).max() ?? .pass
    if call.wantsJSON {
      Output.standard.line(json(findings, ok: worst < .fail))
    } else {
      Output.standard.write(text(findings))
    }
    return worst < .fail ? .fine : .no
  }

  /// A ledger of which something is missing that every command needs is one to be examined.
  private static func requireLedger(_ session: Session) throws(OpsError) -> [Finding] {
    do throws(OpsError) {
      try session.requireLedger()
      return []
    } catch {
      guard error.database != nil, try session.notesDefinitions() else { throw error }
      return [Finding(name: "ledger", verdict: .fail, saw: [error.message], remedy: error.hint)]
    }
  }

  /// What the engine cannot read fails closed, and somebody should know.
  private static func policies(_ engine: Engine) throws(OpsError) -> Finding {
    let faults: [PolicyFault]
    do throws(OpsError) { faults = try engine.policyFaults() } catch {
      if error.code == .databaseUnreachable { throw error }
      return Finding(
        name: "policies", verdict: .fail, saw: ["cannot be read: \(error.message)"],
        remedy: error.hint ?? "without policies the loop stops")
    }
    if faults.isEmpty {
      return Finding(name: "policies", verdict: .pass, saw: ["all can be read"])
    }
    return Finding(
      name: "policies", verdict: .warn,
      saw: faults.map(\.words),
      remedy: "`opsledger policy check` says what is wrong, `policy rollback` goes back")
  }

  private static func json(_ findings: [Finding], ok: Bool) -> String {
    JSON.object([
      "ok": .bool(ok),
      "checks": .array(
        findings.map { finding in
          .object([
            "name": .string(finding.name), "verdict": .string(finding.verdict.rawValue),
            "saw": .array(finding.saw.map { .string($0) }), "do": .optional(finding.remedy),
          ])
        }),
    ]).text
  }

  private static func text(_ findings: [Finding]) -> String {
    let width = findings.map { Terminal.width($0.name) }.max() ?? 0
    let gap = String(repeating: " ", count: 4 + 2 + width + 2)
    var out = ""
    for finding in findings {
      let padding = String(repeating: " ", count: width - Terminal.width(finding.name))
      out += "\(finding.verdict.rawValue)  \(finding.name)\(padding)  "
      out += finding.saw.prefix(shownMax).map(Terminal.printable).joined(separator: "\n" + gap)
      out += "\n"
      if finding.saw.count > shownMax { out += gap + "and \(finding.saw.count - shownMax) more\n" }
      if let remedy = finding.remedy { out += gap + "do: \(remedy)\n" }
    }
    return out
  }

  private static let shownMax = 10
}
