import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `event emit|list`: the reports of agents and systems.
enum EventCommands {
  static let all = [emit, list]

  static let emit = Command(
    group: .work, name: "event emit", summary: "report an agent event: something that happened",
    arguments: [.init(name: "TYPE", help: "the kind of event, like scout:find")],
    options: [
      .value("data", "JSON|@FILE|-", "details, as JSON ({})"),
      .value("dedupe", "KEY", "a second event with this key is not recorded; prints the first one"),
      .value("mission", "ID", "the mission that the event is about"),
      .value("thought", "T", "the agent's reasoning"), .key,
    ],
    notes: [
      "The next heartbeat processes the event: policy reaction_matrix says which events get a reaction.",
      "A type has at most 200 bytes, data 1 MiB as JSON, a dedupe key 500 bytes. A row that psql writes has at most "
        + "64 MiB as JSON.",
    ],
    examples: [
      #"event emit scout:find --data '{"summary": "a new tool"}'"#:
        "with the first policies, it becomes a radar item",
      "event emit build:main:failed --data @report.json --dedupe build-812":
        "one event, even if the job retries",
      "event emit job:done --key 0b6a4d0e-6b7f-4f0e-9f3b-2a4f4a0c1d11":
        "asked again with the key, it gives the same answer",
    ]
  ) { (call) throws(OpsError) in
    let report = AgentEvent.Report(
      type: call.argument(0), data: try data(call), dedupeKey: try dedupeKey(call),
      missionID: try call.id(option: "mission", of: "mission"), thought: try call.prose("thought"))
    let engine = try call.engine()
    // Otherwise a foreign key would refuse it, without a useful message.
    if let mission = report.missionID {
      let _: Mission = try engine.session.find(mission, as: "mission")
    }
    let emitted = try engine.emit(report)
    let what =
      emitted.isDuplicate
      ? " has this dedupe key; nothing was recorded"
      : emitted.entry.map { " recorded in entry \($0)" } ?? ""
    call.print("event \(emitted.eventID)\(what)") { out in
      out.string("event_id", emitted.eventID.description)
      out.optional("entry", emitted.entry)
      out.bool("duplicate", emitted.isDuplicate)
    }
    return .fine
  }

  static func data(_ call: Invocation) throws(OpsError) -> String {
    guard let text = try call.document("data") else { return "{}" }
    return try parse(text, "--data").text
  }

  /// - Parameter source: The name of the text in an error.
  static func parse(_ text: String, _ source: String) throws(OpsError) -> JSON {
    do { return try JSON(parsing: text) } catch {
      throw .badInput("\(source) is not valid JSON: \(error.reason)")
    }
  }

  static func dedupeKey(_ call: Invocation) throws(OpsError) -> String? {
    guard let key = call.text("dedupe") else { return nil }
    guard (1...Proposal.dedupeKeyBytesMax).contains(key.utf8.count),
      !key.unicodeScalars.contains(where: { $0.value < 32 })
    else {
      throw .badInput(
        "--dedupe needs a text of 1 to \(Proposal.dedupeKeyBytesMax) bytes on one line")
    }
    return key
  }

  static let list = Command(
    group: .work, name: "event list", summary: "list agent events, the newest first",
    options: [
      .value("type", "GLOB", "only events of this type; * stands for any text"),
      .flag("unprocessed", "only events that no heartbeat has processed"), .limit,
    ],
    examples: ["event list --type 'step:*:failed'": "which steps failed lately?"]
  ) { (call) throws(OpsError) in
    let limit = try call.limit()
    let events = try call.session().list(
      .agentEvents(
        type: call.text("type"), unprocessed: call.flag("unprocessed"), limit: limit))
    call.print(
      events, none: "no agent events",
      [
        .whole("ID") { $0.id.description }, .whole("REPORTED (UTC)") { Shown.time($0.createdAt) },
        .words("TYPE") { $0.type }, .whole("PROCESSED") { $0.processedAt == nil ? "no" : "yes" },
        .words("DATA") { Shown.brief($0.data, 100) },
      ])
    return .fine
  }
}
