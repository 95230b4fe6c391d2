import Host
import JSON
import Ledger
import Log

/// `log show|tail|stats`: the events of the log.
enum LogCommands {
  static let all = [show, tail, stats]

  static let show = Command(
    group: .audit, name: "log show", summary: "print events of the log, in their order",
    options: [
      .value("stream", "ID", "only events of this row"),
      .value("entry", "N[-M]", "only these entries"), type,
      .value("limit", "N", "at most N: the last ones (50); with --entry the first ones (all)"),
      .offline,
    ],
    notes: [
      "With --json each line is an object with the columns of ledger.events. Archived events are read from the "
        + "store (--store, OPS_STORE)."
    ],
    examples: [
      "log show --entry 41-45": "the events of these entries",
      "log show --type '\(Step.anyEventType)' --limit 20": "the last 20 events of steps",
    ]
  ) { (call) throws(OpsError) in
    let entries = try range(call)
    let limit = try call.integer("limit", in: 1...1_000_000_000)
    var query = LogQuery(limit: limit ?? 50, keeps: .last)
    query.stream = try call.id(option: "stream", of: "row")
    query.type = call.text("type")
    if let entries {
      query.entries = entries
      query.keeps = .first
      query.limit = limit ?? Int.max
    } else if query.stream != nil, limit == nil {
      query.keeps = .first
      query.limit = Int.max
    }
    var printer = Printer(json: call.wantsJSON)
    if call.flag("offline") {
      _ = try query.run(in: call.storedLog()) { printer.print($0) }
    } else {
      try call.session().log(query) { printer.print($0) }
    }
    if printer.count == 0 { call.note("no events match") }
    return .fine
  }

  private static func range(_ call: Invocation) throws(OpsError) -> ClosedRange<Int64>? {
    guard let text = call.text("entry") else { return nil }
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { Int64($0) }
    guard numbers.count == parts.count, (1...2).contains(numbers.count), let first = numbers.first,
      let last = numbers.last, first >= 0, first <= last
    else { throw .badInput("--entry needs a number or a range like 41-45, not \(text)") }
    return first...last
  }

  private static let type = Command.Option.value(
    "type", "GLOB", "only events of this type; * stands for any text")

  static let tail = Command(
    group: .audit, name: "log tail", summary: "print the last sealed events, and follow the log",
    options: [
      .value("stream", "ID", "only events of this row"), type,
      .flag("follow", "continue, and print events when they are sealed"),
      .value("limit", "N", "begin with the last N (10)"),
      .offline,
    ],
    notes: [
      "Sealed entries never change, and no entry is inserted before them. An open transaction that records "
        + "something holds the seal back; status names it."
    ],
    examples: ["log tail --follow": "watch the ledger at work"]
  ) { (call) throws(OpsError) in
    var query = LogQuery(limit: try call.integer("limit", in: 0...1_000_000) ?? 10, keeps: .last)
    query.sealedOnly = true
    query.stream = try call.id(option: "stream", of: "row")
    query.type = call.text("type")
    var printer = Printer(json: call.wantsJSON)
    if call.flag("offline") {
      guard !call.flag("follow") else {
        throw .badInput("--offline and --follow exclude each other: only a push adds to a store")
      }
      _ = try query.run(in: call.storedLog()) { printer.print($0) }
      return .fine
    }
    let stop = call.flag("follow") ? StopSignal() : nil
    let session = try call.session()
    var sealed = try session.sealed()
    query.entries = 0...sealed
    if query.limit > 0 { try session.log(query) { printer.print($0) } }
    guard let stop else { return .fine }
    (query.keeps, query.limit) = (.first, Int.max)
    // After an outage in the middle of an entry, no event is printed twice.
    var last = (entry: sealed, index: Int32.max)
    while stop.sleep(millis: 500) {
      Output.standard.flush()
      do throws(OpsError) {
        let now = try session.sealed()
        guard now > sealed else { continue }
        query.entries = (sealed + 1)...now
        try session.log(query) { event in
          guard (event.entry, event.index) > last else { return }
          printer.print(event)
          last = (event.entry, event.index)
        }
        sealed = now
      } catch {
        guard Outage.wait(for: session, error, stop) || stop.isRaised else { throw error }
      }
      Output.standard.flush()
    }
    return .fine
  }

  /// Prints events as they arrive. A table would wait for its widest cell.
  private struct Printer {
    let json: Bool
    var count = 0

    mutating func print(_ event: LoggedEvent) {
      count += 1
      if json { return Output.standard.line(JSONObjectWriter.text { event.write(to: &$0) }) }
      var parts = [
        Self.padded("\(event.entry).\(event.index)", to: 10), Shown.fineTime(event.recordedAt),
        Self.padded(event.type, to: 22), "\(event.stream) v\(event.version)",
        Terminal.printable(event.actor),
      ]
      if let cause = event.cause { parts.append("caused by \(cause)") }
      Output.standard.line(Shown.packed(parts, indent: 12))
      if event.data != "{}" { part("data", event.data) }
      if let content = event.content { part("content", content) }
      if event.commitment != nil { part("content", Erased.text) }
    }

    private static func padded(_ text: String, to width: Int) -> String {
      let text = Terminal.printable(text)
      return text + String(repeating: " ", count: max(0, width - Terminal.width(text)))
    }

    private func part(_ name: String, _ text: String) {
      let gap = String(repeating: " ", count: 8 - name.count)
      let room = Terminal.isTerminal(1) ? max(20, Terminal.columns() - 20) : 400
      Output.standard.line(
        "            \(name)\(gap)\(Terminal.printable(Shown.brief(text, room)))")
    }
  }

  static let stats = Command(
    group: .audit, name: "log stats",
    summary: "count the events of the log, by type and by partition",
    notes: [
      "It reads the whole log in the database. Archived events are not counted."
    ],
    examples: ["log stats": "how large the log is, and what fills it"]
  ) { (call) throws(OpsError) in
    let statistics = try call.session().logStatistics()
    call.print(text(statistics)) { json(statistics, &$0) }
    return .fine
  }

  private static func text(_ statistics: LogStatistics) -> String {
    var text = Facts.text([
      ("events", Shown.count(statistics.events)), ("entries", Shown.count(statistics.entries)),
      ("streams", Shown.count(statistics.streams)),
      ("first", Shown.time(statistics.first)), ("last", Shown.time(statistics.last)),
      ("last entry", "\(statistics.lastEntry), sealed up to \(statistics.sealed)"),
    ])
    let types = TextTable(
      statistics.types, [.whole("TYPE") { $0.type }, .number("EVENTS") { Shown.count($0.events) }])
    let partitions = TextTable(
      statistics.partitions,
      [
        .whole("PARTITION") { $0.name }, .number("ENTRIES") { "\($0.from)-\($0.to)" },
        .number("EVENTS, ABOUT") { $0.events.map { Shown.count($0) } ?? "" },
        .number("SIZE") { Shown.bytes($0.bytes) },
      ])
    text += "\n" + types.text() + "\n" + partitions.text()
    return text
  }

  private static func json(_ statistics: LogStatistics, _ out: inout JSONObjectWriter) {
    out.int("events", statistics.events)
    out.int("entries", statistics.entries)
    out.int("streams", statistics.streams)
    out.optional("first_at", statistics.first?.description)
    out.optional("last_at", statistics.last?.description)
    out.int("last_entry", statistics.lastEntry)
    out.int("sealed_entry", statistics.sealed)
    var types = JSONObjectWriter()
    for (type, count) in statistics.types { types.int(type, count) }
    out.raw("types", types.finish())
    let partitions = statistics.partitions.map { partition in
      var out = JSONObjectWriter()
      out.string("name", partition.name)
      out.int("from", partition.from)
      out.int("to", partition.to)
      out.optional("events_about", partition.events)
      out.int("bytes", partition.bytes)
      return out.finish()
    }
    out.raw("partitions", "[" + partitions.joined(separator: ", ") + "]")
  }
}
