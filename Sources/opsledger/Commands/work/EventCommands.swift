import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `event emit|list`: what agents and systems report.
enum EventCommands {
  static let all = [emit, list]

  static let emit = Command(
    group: .work, name: "event emit", summary: "report something that happened",
    arguments: [.init(name: "TYPE", help: "what kind of thing: scout:find")],
    options: [
      .init(name: "data", value: "JSON|@FILE|-", help: "more about it, as JSON ({})"),
      .init(
        name: "dedupe", value: "KEY", help: "the same key again reports nothing, and says which"),
      .init(name: "mission", value: "ID", help: "the mission that it is about"),
      .init(name: "thought", value: "T", help: "what the agent thought"), .key,
    ],
    notes: [
      "The next heartbeat looks at it, and reacts as policy reaction_matrix says.",
      "A type has at most 200 bytes, data 1 MiB as JSON, a dedupe key 500 bytes. What psql puts into "
        + "ops_agent_events, or changes in any of the eight tables, has at most 64 MiB a row as JSON.",
    ],
    examples: [
      .init(
        line: #"event emit scout:find --data '{"summary": "a new tool"}'"#,
        meaning: "the seeded policy puts it on the radar"),
      .init(
        line: "event emit build:main:failed --data @report.json --dedupe build-812",
        meaning: "once, however often the job calls"),
      .init(
        line: "event emit job:done --key 0b6a4d0e-6b7f-4f0e-9f3b-2a4f4a0c1d11",
        meaning: "asked again under the key, it answers the same"),
    ]
  ) { (call) throws(OpsError) in
    let report = AgentEvent.Report(
      type: call.argument(0), data: try data(call), dedupeKey: try dedupeKey(call),
      missionID: try call.id(option: "mission", of: "mission"), thought: try call.prose("thought"))
    let engine = try call.engine()
    // A mission that is not there would be refused by a foreign key, in its words.
    if let mission = report.missionID {
      let _: Mission = try engine.session.find(mission, as: "mission")
    }
    let emitted = try engine.emit(report)
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.string("event_id", emitted.eventID.description)
      out.json("entry", emitted.entry.map(JSON.int) ?? .null)
      out.bool("duplicate", emitted.isDuplicate)
      Output.standard.line(out.finish())
    } else if emitted.isDuplicate {
      Output.standard.line("event \(emitted.eventID) has this dedupe key; nothing was recorded")
    } else {
      Output.standard.line(
        "event \(emitted.eventID)" + (emitted.entry.map { " in entry \($0)" } ?? ""))
    }
    return .fine
  }

  static func data(_ call: Invocation) throws(OpsError) -> String {
    guard let text = try call.document("data") else { return "{}" }
    return try parse(text, "--data").text
  }

  /// - Parameter source: What to call it where it is wrong.
  static func parse(_ text: String, _ source: String) throws(OpsError) -> JSON {
    do { return try JSON(parsing: text) } catch {
      throw .badInput("\(source) is not JSON that can be recorded: \(error.reason)")
    }
  }

  static func dedupeKey(_ call: Invocation) throws(OpsError) -> String? {
    guard let key = call.text("dedupe") else { return nil }
    guard (1...Proposal.dedupeKeyBytesMax).contains(key.utf8.count),
      !key.unicodeScalars.contains(where: { $0.value < 32 })
    else {
      throw .badInput(
        "--dedupe wants a text of 1 to \(Proposal.dedupeKeyBytesMax) bytes on one line")
    }
    return key
  }

  static let list = Command(
    group: .work, name: "event list", summary: "list what was reported, the newest first",
    options: [
      .init(name: "type", value: "GLOB", help: "only of this type; * stands for any text"),
      .init(name: "unprocessed", help: "only what no heartbeat has looked at"), .limit,
    ],
    examples: [.init(line: "event list --type 'step:*:failed'", meaning: "what went wrong lately")]
  ) { (call) throws(OpsError) in
    let limit = try call.limit()
    let events = try call.session().list(
      .agentEvents(
        type: call.text("type"), unprocessed: call.flag("unprocessed"), limit: limit))
    printRows(
      events, call, none: "no agent events",
      { table, event in
        table.add([
          event.id.description, Shown.time(event.createdAt), event.type,
          event.processedAt == nil ? "no" : "yes", Shown.brief(event.data, 100),
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false), .init(title: "REPORTED (UTC)", canShrink: false),
        .init(title: "TYPE"), .init(title: "PROCESSED", canShrink: false), .init(title: "DATA"),
      ])
    return .fine
  }
}
