import Archive
import Crypto
import Host
import JSON
import Ledger

/// `archive fork`: begins a new store for a database whose history has diverged.
enum ForkCommand {
  static let fork = Command(
    group: .recover, name: "archive fork",
    summary: "begin a new store for a database that has diverged from its store",
    options: [
      .value(
        "from", "STORE",
        "the store that it diverged from (else OPS_STORE, if --store names another)"),
      .why,
    ],
    notes: [
      "Use it where restore names the first entry that differs. Diverged histories cannot be merged; both stay whole.",
      "--store names an empty place, which gets the whole history. Its ledger.json names its parent, the last common "
        + "entry and the root there. From then on the old store refuses this database (OPS_015).",
    ],
    examples: [
      "--store /backup/second archive fork --why 'the copy is the one we kept'":
        "push there from now on"
    ]
  ) { (call) throws(OpsError) in
    let watch = Stopwatch()
    let places = try call.stores()
    guard places.count == 1 else {
      throw .badInput("archive fork needs one --store, an empty place")
    }
    let files = try call.openStores()[0]
    let parent = try parentPlace(call, besides: places[0])
    let store = try parent.map { (place) throws(OpsError) in
      try Store.existing(call.openStore(place))
    }
    let report = try Forker(
      try call.session(), into: files, from: store, why: try call.prose("why") ?? "",
      actor: try call.actor
    ).run()
    call.print(text(report, files, watch)) { json(report, &$0) }
    return .fine
  }

  /// The store that the history diverged from.
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
      "\(Terminal.printable(files.place)) is now the store of this ledger, \(report.identity): "
      + "\(Shown.count(report.push.events, "event")) pushed in \(watch.text)\n"
    text +=
      "it diverged from \(report.parent.identity) after entry \(report.parent.entry), "
      + "root \(report.parent.root.hex)\n"
    if let entry = report.entry { text += "recorded in entry \(entry)\n" }
    return text
  }

  private static func json(_ report: ForkReport, _ out: inout JSONObjectWriter) {
    out.string("identity", report.identity.description)
    out.string("parent", report.parent.identity.description)
    out.int("last_common_entry", report.parent.entry)
    out.string("root", report.parent.root.hex)
    out.optional("entry", report.entry)
    out.int("events", report.push.events)
    out.int("last_entry", report.push.lastEntry)
  }
}
