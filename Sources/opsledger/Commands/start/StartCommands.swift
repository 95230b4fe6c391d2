import Host
import JSON
import Ledger
import Log
import Postgres

/// `init`: a ledger to begin with.
enum StartCommands {
  static let all = [initialise]

  static let initialise = Command(
    group: .start, name: "init",
    summary: "lay the schema and seed the policies; doing it again mends what is out of force",
    options: [
      .init(name: "name", value: "NAME", help: "what the ledger is called (its database's name)")
    ],
    notes: [
      "The login must be allowed to create roles and event triggers. Where no database is named, "
        + "this makes a private PostgreSQL in .opsledger. A schema that psql laid is "
        + "adopted. A policy that somebody edited is left as it is."
    ],
    examples: [
      .init(line: "init", meaning: "make a ledger here"),
      .init(line: "--database postgresql://host/ops init", meaning: "make one there"),
    ]
  ) { (call) throws(OpsError) in
    let session = try Session(try call.target(as: .superuser, creating: true))
    let given = call.text("name")
    let name = if let given { given } else { try session.connection().database }
    guard (1...200).contains(name.utf8.count),
      !name.unicodeScalars.contains(where: { $0.value < 32 })
    else { throw .badInput("a ledger's name is a text of 1 to 200 bytes on one line") }
    let report = try Installer.run(session, name: name, actor: try call.actor)
    let ledger = try session.ledgerRecord()
    if let given, given != ledger.title {
      call.note("note: the ledger is called \(ledger.title), and keeps that name")
    }
    if call.wantsJSON {
      Output.standard.line(json(report, ledger))
    } else {
      Output.standard.write(text(report, ledger))
    }
    return .fine
  }

  private static func json(_ report: Installer.Report, _ ledger: LedgerRecord) -> String {
    var out = JSONObjectWriter()
    out.bool("created", report.isNew)
    out.string("name", ledger.title)
    out.string("identity", ledger.identity.description)
    out.json("applied", .array(report.applied.map(JSON.string)))
    out.json("adopted", .array(report.adopted.map(JSON.string)))
    out.json("mended", .array(report.repaired.map(JSON.string)))
    out.json("unmended", .array(report.unrepaired.map(JSON.string)))
    out.json("seeded", .array(report.seeded.map(JSON.string)))
    out.int("partitions", report.partitions)
    if let numbers = report.numbers {
      out.int("numbers_stood_at", numbers.stoodAt)
      if let seal = numbers.falseSeal { out.int("false_seal", seal) }
    }
    return out.finish()
  }

  private static func listed(_ repaired: [String]) -> String {
    let shown = repaired.prefix(10).map(Terminal.printable).joined(separator: ", ")
    return repaired.count > 10 ? "\(shown) and \(repaired.count - 10) more" : shown
  }

  private static func text(_ report: Installer.Report, _ ledger: LedgerRecord) -> String {
    let what =
      !report.adopted.isEmpty
      ? "adopted the schema that psql laid"
      : report.isNewer
        ? "of a newer release, which serves this one; nothing was touched"
        : !report.repaired.isEmpty
          ? "laid again, since this was out of force: \(listed(report.repaired))"
          : report.isNew ? "created" : report.applied.isEmpty ? "up to date" : "brought up to date"
    var facts = [("identity", ledger.identity.description)]
    if !report.applied.isEmpty {
      facts.append(("schema", Shown.count(report.applied.count, "file") + " applied"))
    }
    if !report.seeded.isEmpty {
      facts.append(("policies", "seeded " + report.seeded.joined(separator: ", ")))
    }
    for unrepaired in report.unrepaired {
      facts.append(("not put back", Terminal.printable(unrepaired)))
    }
    if !report.unrepaired.isEmpty { facts.append(("do", Installer.byAnotherWay)) }
    if let numbers = report.numbers {
      let wrong =
        numbers.falseSeal.map { "were far behind a seal at \($0), which was taken off" }
        ?? "were set back to \(numbers.stoodAt)"
      facts.append(("numbers", wrong + "; they go on above all that is recorded"))
    }
    return "ledger \(Terminal.printable(ledger.title)): \(what)\n"
      + Facts.text(facts, indent: "  ")
  }
}
