import Host
import JSON
import Ledger
import Log

/// `log show|tail|stats`: the log as it is.
enum LogCommands {
  static let all = [show, tail, stats]

  static let show = Command(
    group: .audit, name: "log show", summary: "print events of the log, in its order",
    options: [
      .init(name: "stream", value: "ID", help: "only of this row"),
      .init(name: "entry", value: "N[-M]", help: "only of these entries"),
      .init(name: "type", value: "GLOB", help: "only of this type; * stands for any text"),
      .init(
        name: "limit", value: "N",
        help: "at most so many: the last (50), with --entry the first (all)"),
      .offline,
    ],
    notes: [
      "With --json one object a line, under the columns of ledger.events. Events that retention took out of "
        + "the database are read from the store."
    ],
    examples: [
      .init(line: "log show --entry 41-45", meaning: "what those entries recorded"),
      .init(
        line: "log show --type '\(Step.anyEventType)' --limit 20", meaning: "the last ones of steps"
      ),
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
    if printer.count == 0 { call.note("no such events") }
    return .fine
  }

  private static func range(_ call: Invocation) throws(OpsError) -> ClosedRange<Int64>? {
    guard let text = call.text("entry") else { return nil }
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { Int64($0) }
    guard numbers.count == parts.count, (1...2).contains(numbers.count), let first = numbers.first,
      let last = numbers.last, first >= 0, first <= last
    else { throw .badInput("--entry wants a number or a range like 41-45, not \(text)") }
    return first...last
  }

  static let tail = Command(
    group: .audit, name: "log tail", summary: "print the last events that are sealed",
    options: [
      .init(name: "stream", value: "ID", help: "only of this row"),
      .init(name: "type", value: "GLOB", help: "only of this type; * stands for any text"),
      .init(name: "follow", help: "go on, and print events as they are sealed"),
      .init(name: "limit", value: "N", help: "begin with so many (10)"),
      .offline,
    ],
    notes: [
      "What is sealed can no longer change: nothing is ever inserted before it. An append that "
        + "stays open holds the seal back; status names it."
    ],
    examples: [.init(line: "log tail --follow", meaning: "watch the ledger work")]
  ) { (call) throws(OpsError) in
    var query = LogQuery(limit: try call.integer("limit", in: 0...1_000_000) ?? 10, keeps: .last)
    query.sealedOnly = true
    query.stream = try call.id(option: "stream", of: "row")
    query.type = call.text("type")
    var printer = Printer(json: call.wantsJSON)
    if call.flag("offline") {
      guard !call.flag("follow") else {
        throw .badInput(
          "--offline and --follow do not go together: nothing is added to a store alone")
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
    // Where the database goes away in the middle, what was printed is not printed again.
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

  /// Prints events as they come: a table cannot wait for its widest cell.
  private struct Printer {
    let json: Bool
    private(set) var count = 0

    init(json: Bool) { self.json = json }

    mutating func print(_ event: LoggedEvent) {
      count += 1
      if json { return Output.standard.line(event.json) }
      var parts = [
        Self.padded("\(event.entry).\(event.index)", to: 10), Shown.fineTime(event.recordedAt),
        Self.padded(event.type, to: 22), "\(event.stream) v\(event.version)",
        Terminal.printable(event.actor),
      ]
      if let cause = event.cause { parts.append("because of \(cause)") }
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
    group: .audit, name: "log stats", summary: "count what the log holds",
    notes: [
      "It reads all of the log that the database holds; what retention took out is not counted."
    ],
    examples: [.init(line: "log stats", meaning: "how large it is, and of what")]
  ) { (call) throws(OpsError) in
    let statistics = try call.session().logStatistics()
    if call.wantsJSON {
      Output.standard.line(json(statistics))
    } else {
      Output.standard.write(text(statistics))
    }
    return .fine
  }

  private static func text(_ statistics: LogStatistics) -> String {
    var text = Facts.text([
      ("events", Shown.count(statistics.events)), ("entries", Shown.count(statistics.entries)),
      ("streams", Shown.count(statistics.streams)),
      ("first", Shown.time(statistics.first)), ("last", Shown.time(statistics.last)),
      ("last entry", "\(statistics.lastEntry), sealed up to \(statistics.sealed)"),
    ])
    var types = TextTable([
      .init(title: "TYPE", canShrink: false), .init(title: "EVENTS", alignsRight: true),
    ])
    for (type, count) in statistics.types { types.add([type, Shown.count(count)]) }
    var partitions = TextTable([
      .init(title: "PARTITION", canShrink: false),
      .init(title: "ENTRIES", alignsRight: true, canShrink: false),
      .init(title: "EVENTS, ABOUT", alignsRight: true), .init(title: "SIZE", alignsRight: true),
    ])
    for partition in statistics.partitions {
      partitions.add([
        partition.name, "\(partition.from)-\(partition.to)",
        partition.events.map { Shown.count($0) } ?? "", Shown.bytes(partition.bytes),
      ])
    }
    text += "\n" + types.text() + "\n" + partitions.text()
    return text
  }

  private static func json(_ statistics: LogStatistics) -> String {
    var out = JSONObjectWriter()
    out.int("events", statistics.events)
    out.int("entries", statistics.entries)
    out.int("streams", statistics.streams)
    out.json("first_at", .optional(statistics.first?.description))
    out.json("last_at", .optional(statistics.last?.description))
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
      out.json("events_about", partition.events.map(JSON.int) ?? .null)
      out.int("bytes", partition.bytes)
      return out.finish()
    }
    out.raw("partitions", "[" + partitions.joined(separator: ", ") + "]")
    return out.finish()
  }
}
