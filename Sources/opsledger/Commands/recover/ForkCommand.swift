import Archive
import Crypto
import Host
import JSON
import Ledger

/// `archive fork`: a new store for a database that went on apart.
enum ForkCommand {
  static let fork = Command(
    group: .recover, name: "archive fork",
    summary: "let this database go on in a new store, as a line of history of its own",
    options: [
      .init(
        name: "from", value: "STORE",
        help: "the store that the history came from (else OPS_STORE, where --store names another)"),
      .why,
    ],
    notes: [
      "For two that went on apart, where restore names the first entry that differs: nothing can be "
        + "merged, and both histories stay whole. --store names an empty place; its ledger.json names "
        + "its parent, the last entry that both have, and the root there. It gets all of the history. "
        + "From then on the database is that line's, and the old store is another's (OPS_015)."
    ],
    examples: [
      .init(
        line: "--store /backup/second archive fork --why 'the copy is the one we kept'",
        meaning: "and push there from now on")
    ]
  ) { (call) throws(OpsError) in
    let watch = Stopwatch()
    let places = try call.stores()
    guard places.count == 1 else { throw .badInput("a fork wants one --store, an empty place") }
    let files = try call.openStores()[0]
    let parent = try parentPlace(call, besides: places[0])
    let store = try parent.map { (place) throws(OpsError) in
      try Store.existing(call.openStore(place))
    }
    let report = try Forker(
      try call.session(), into: files, from: store, why: try call.prose("why") ?? "",
      actor: try call.actor
    ).run()
    if call.wantsJSON {
      Output.standard.line(json(report))
    } else {
      Output.standard.write(text(report, files, watch))
    }
    return .fine
  }

  /// Where the history came from.
  private static func parentPlace(
    _ call: Invocation, besides new: String
  ) throws(OpsError) -> String? {
    if let named = call.text("from") { return named }
    guard let usual = try call.environment.text(.store), usual != new else { return nil }
    return usual
  }

  private static func text(
    _ report: ForkReport, _ files: any ObjectStore, _ watch: Stopwatch
  ) -> String {
    var text =
      "\(Terminal.printable(files.place)) is the store of this ledger now: line \(report.identity), "
      + "\(Shown.count(report.push.events, "event")) pushed in \(watch.text)\n"
    text +=
      "it left line \(report.parent.identity) after entry \(report.parent.entry), "
      + "root \(report.parent.root.hex)\n"
    if let entry = report.entry { text += "recorded in entry \(entry)\n" }
    return text
  }

  private static func json(_ report: ForkReport) -> String {
    var out = JSONObjectWriter()
    out.string("identity", report.identity.description)
    out.string("parent", report.parent.identity.description)
    out.int("last_common_entry", report.parent.entry)
    out.string("root", report.parent.root.hex)
    out.json("entry", report.entry.map(JSON.int) ?? .null)
    out.int("events", report.push.events)
    out.int("last_entry", report.push.lastEntry)
    return out.finish()
  }
}
