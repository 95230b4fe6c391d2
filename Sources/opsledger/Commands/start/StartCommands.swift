import Host
import JSON
import Ledger
import Log
import Postgres

/// `init`: makes a ledger, or repairs its schema.
enum StartCommands {
  static let initialise = Command(
    group: .start, name: "init",
    summary: "make a ledger in a database, or repair the schema of one",
    options: [
      .value("name", "NAME", "the name of the ledger (the name of its database)")
    ],
    notes: [
      "It applies the schema and seeds the policies. Without a database, it makes a private PostgreSQL in .opsledger. "
        + "In another database the login must be allowed to create roles and event triggers.",
      "Run it again after an upgrade, or to repair protections that are switched off or missing. Edited policies stay. "
        + "A schema that psql applied is adopted.",
    ],
    examples: [
      "init": "makes a ledger here",
      "--database postgresql://host/ops init": "makes a ledger in that database",
    ]
  ) { (call) throws(OpsError) in
    let session = try Session(try call.target(as: .superuser, creating: true))
    let given = call.text("name")
    let name = if let given { given } else { try session.connection().database }
    guard (1...200).contains(name.utf8.count),
      !name.unicodeScalars.contains(where: { $0.value < 32 })
    else { throw .badInput("--name needs a text of 1 to 200 bytes on one line") }
    let report = try Installer.run(session, name: name, actor: try call.actor)
    let ledger = try session.ledgerRecord()
    if let given, given != ledger.title {
      call.note("note: the ledger keeps its name, \(ledger.title)")
    }
    call.print(text(report, ledger)) { json(report, ledger, &$0) }
    return .fine
  }

  private static func json(
    _ report: Installer.Report, _ ledger: LedgerRecord, _ out: inout JSONObjectWriter
  ) {
    out.bool("created", report.isNew)
    out.string("name", ledger.title)
    out.string("identity", ledger.identity.description)
    out.list("applied", report.applied)
    out.list("adopted", report.adopted)
    out.list("repaired", report.repaired)
    out.list("unrepaired", report.unrepaired)
    out.list("seeded", report.seeded)
    out.int("partitions", report.partitions)
    if let numbers = report.numbers {
      out.int("numbers_stood_at", numbers.stoodAt)
      if let seal = numbers.falseSeal { out.int("false_seal", seal) }
    }
  }

  private static func listed(_ repaired: [String]) -> String {
    let shown = repaired.prefix(10).map(Terminal.printable).joined(separator: ", ")
    return repaired.count > 10 ? "\(shown) and \(repaired.count - 10) more" : shown
  }

  private static func text(_ report: Installer.Report, _ ledger: LedgerRecord) -> String {
    let what =
      !report.adopted.isEmpty
      ? "adopted the schema that psql applied"
      : report.isNewer
        ? "has the schema of a newer release, which also serves this one; nothing was changed"
        : !report.repaired.isEmpty
          ? "repaired what was switched off or missing: \(listed(report.repaired))"
          : report.isNew ? "created" : report.applied.isEmpty ? "up to date" : "brought up to date"
    var facts = [("identity", ledger.identity.description)]
    if !report.applied.isEmpty {
      facts.append(("schema", "applied \(Shown.count(report.applied.count, "file"))"))
    }
    if !report.seeded.isEmpty {
      facts.append(("policies", "seeded " + report.seeded.joined(separator: ", ")))
    }
    for unrepaired in report.unrepaired { facts.append(("not repaired", unrepaired)) }
    if !report.unrepaired.isEmpty { facts.append(("do", Installer.byAnotherWay)) }
    if let numbers = report.numbers {
      let wrong =
        numbers.falseSeal.map { "were far below a seal at \($0), which was removed" }
        ?? "had been set back to \(numbers.stoodAt)"
      facts.append(("entry numbers", wrong + "; they continue above the last recorded entry"))
    }
    return "ledger \(Terminal.printable(ledger.title)): \(what)\n"
      + Facts.text(facts, indent: "  ")
  }
}
