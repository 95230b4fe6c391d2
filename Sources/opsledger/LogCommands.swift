import Glibc
import Host
import JSON
import Ledger
import Log

/// `log show|tail|stats`: the log itself.
enum LogCommands {
  static let all = [show, tail, stats]

  private static let filters: [Command.Option] = [
    .init(name: "stream", value: "ID", help: "only of this row"),
    .init(name: "type", value: "GLOB", help: "only of this type; * stands for any text"),
  ]

  static let show = Command(
    group: .audit, name: "log show", summary: "show events of the log, the oldest first",
    options: filters + [
      .init(name: "entry", value: "N[-M]", help: "only of these entries"),
      .init(name: "limit", value: "N", help: "at most so many (50)"),
    ],
    notes: ["Up to the last sealed entry: what is shown never changes."],
    examples: [
      .init(line: "log show --entry 100-120", meaning: "what happened in twenty entries"),
      .init(line: "log show --type 'policy.*' --json", meaning: "every change of a policy"),
    ]
  ) { (call) throws(OpsError) in
    let session = try call.session()
    try session.seal()
    let events = try session.events(
      LogQuery(
        stream: call.id(option: "stream", of: "row"), entries: entries(call.text("entry")),
        type: call.text("type"), limit: call.limit()))
    printEvents(events, call)
    return .fine
  }

  private static func entries(_ text: String?) throws(OpsError) -> ClosedRange<Int64> {
    guard let text else { return 0...Int64.max }
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
    guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
      first >= 0, first <= last
    else { throw .badInput("--entry wants a number or a range like 100-120, not \(text)") }
    return first...last
  }

  static let tail = Command(
    group: .audit, name: "log tail", summary: "show the last events of the log",
    options: filters + [
      .init(name: "follow", help: "go on with what is recorded from now on"),
      .init(name: "limit", value: "N", help: "at most so many of those that are there (50)"),
    ],
    examples: [.init(line: "log tail --follow", meaning: "watch the ledger work")]
  ) { (call) throws(OpsError) in
    let session = try call.session()
    var sealed = try session.seal()
    let stream = try call.id(option: "stream", of: "row")
    let last = try session.events(
      LogQuery(
        stream: stream, entries: 0...sealed, type: call.text("type"), limit: call.limit(),
        isTail: true))
    printEvents(last, call)
    let stop = StopSignal()
    while call.flag("follow"), !stop.isRaised {
      usleep(200_000)
      let next = try session.seal()
      guard next > sealed else { continue }
      let fresh = try session.events(
        LogQuery(
          stream: stream, entries: (sealed + 1)...next, type: call.text("type"),
          limit: 1_000_000))
      printEvents(fresh, call)
      Output.standard.flush()
      sealed = next
    }
    return .fine
  }

  private static func printEvents(_ events: [RecordedEvent], _ call: Invocation) {
    for event in events {
      if call.wantsJSON {
        Output.standard.line(event.json)
        continue
      }
      let payload =
        Shown.brief(event.data, 120) + (event.content.map { "  " + Shown.brief($0, 80) } ?? "")
      Output.standard.line(
        Terminal.printable(
          "\(event.entry).\(event.index)  \(Shown.fineTime(event.at))  \(event.type)  "
            + "\(event.stream) v\(event.version)  [\(event.actor)]  \(payload)"))
    }
  }

  static let stats = Command(
    group: .audit, name: "log stats", summary: "count the log: entries, types, sizes",
    notes: ["It reads the whole log once."],
    examples: [.init(line: "log stats", meaning: "how large it is, and of what")]
  ) { (call) throws(OpsError) in
    let session = try call.session()
    try session.seal()
    let stats = try session.logStats()
    if call.wantsJSON {
      Output.standard.line(json(stats).text)
      return .fine
    }
    Output.standard.write(
      Facts.text([
        ("events", Shown.count(stats.events)), ("entries", Shown.count(stats.entries)),
        ("streams", Shown.count(stats.streams)), ("first", Shown.time(stats.first)),
        ("last", Shown.time(stats.last)), ("sealed up to entry", Shown.count(stats.sealed)),
        ("size", Self.size(stats.partitions.reduce(0) { $0 + $1.bytes })),
      ]))
    var types = TextTable([.init(title: "TYPE"), .init(title: "EVENTS", alignsRight: true)])
    for (type, count) in stats.types { types.add([type, Shown.count(count)]) }
    Output.standard.write("\n" + types.text())
    var partitions = TextTable([.init(title: "PARTITION"), .init(title: "SIZE", alignsRight: true)])
    for partition in stats.partitions { partitions.add([partition.name, size(partition.bytes)]) }
    Output.standard.write("\n" + partitions.text())
    return .fine
  }

  private static func json(_ stats: LogStats) -> JSON {
    .object([
      "events": .int(stats.events), "entries": .int(stats.entries), "streams": .int(stats.streams),
      "first": .optional(stats.first?.description), "last": .optional(stats.last?.description),
      "entry": .int(stats.sealed),
      "types": .object(
        Dictionary(stats.types.map { ($0.type, JSON.int($0.count)) }, uniquingKeysWith: { $1 })),
      "partitions": .array(
        stats.partitions.map { partition in
          .object(["name": .string(partition.name), "bytes": .int(partition.bytes)])
        }),
    ])
  }

  private static func size(_ bytes: Int64) -> String {
    bytes < 10_000_000 ? "\(Shown.count(bytes / 1024)) kB" : "\(Shown.count(bytes / 1_048_576)) MB"
  }
}
