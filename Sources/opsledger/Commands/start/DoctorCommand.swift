import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `doctor`: checks every protection.
enum DoctorCommand {
  static let doctor = Command(
    group: .start, name: "doctor", summary: "check that no protection is switched off or missing",
    notes: [
      "It reads the catalogue and prints for each protection PASS, WARN or FAIL, what it saw, and what to do. It "
        + "changes nothing. Exit 1: a check failed.",
      "It needs no superuser. A superuser can hide a change from doctor, but not from a store that others keep: see "
        + "verify --store.",
    ],
    examples: [
      "doctor": "after an upgrade, a restore, or another person's changes",
      "doctor --json": "for programs: checks with name, verdict, saw, do",
    ]
  ) { (call) throws(OpsError) in
    let session = try Session(call.target())
    session.hurry()
    let missing = try requireLedger(session)
    let engine = Engine(session, actor: try call.actor("doctor"), settings: try call.loopSettings())
    let findings = try missing + session.examine() + [policies(engine)]
    let worst = findings.map(\.verdict).max() ?? .pass
    call.print(text(findings)) { json(findings, ok: worst < .fail, &$0) }
    return worst < .fail ? .fine : .no
  }

  /// Other commands refuse a ledger that lacks functions. The doctor examines it.
  private static func requireLedger(_ session: Session) throws(OpsError) -> [Finding] {
    do throws(OpsError) {
      try session.requireLedger()
      return []
    } catch {
      guard error.database != nil, try session.notesDefinitions() else { throw error }
      return [Finding(name: "ledger", verdict: .fail, saw: [error.message], remedy: error.hint)]
    }
  }

  /// A policy that the engine cannot read stops a part of the loop.
  private static func policies(_ engine: Engine) throws(OpsError) -> Finding {
    let faults: [PolicyFault]
    do throws(OpsError) { faults = try engine.policyFaults() } catch {
      if error.code == .databaseUnreachable { throw error }
      return Finding(
        name: "policies", verdict: .fail, saw: ["the policies cannot be read: \(error.message)"],
        remedy: error.hint ?? "the loop stops without policies: see `opsledger policy check`")
    }
    if faults.isEmpty {
      return Finding(name: "policies", verdict: .pass, saw: ["all policies can be read"])
    }
    return Finding(
      name: "policies", verdict: .warn,
      saw: faults.map(\.words),
      remedy: "`opsledger policy check` explains; `opsledger policy rollback` brings back a version"
    )
  }

  private static func json(_ findings: [Finding], ok: Bool, _ out: inout JSONObjectWriter) {
    out.bool("ok", ok)
    out.list("checks", findings) { finding, out in
      out.string("name", finding.name)
      out.string("verdict", finding.verdict.rawValue)
      out.list("saw", finding.saw)
      out.optional("do", finding.remedy)
    }
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
