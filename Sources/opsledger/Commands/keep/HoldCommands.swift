import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `hold place|list|release`: keeps missions from retention and erasures.
enum HoldCommands {
  static let all = [place, list, release]

  static let place = Command(
    group: .keep, name: "hold place", summary: "protect missions from retention and erasures",
    options: [
      .value("mission", "ID", "this mission"),
      .value("source", "S", "missions with a copy of an agent event of this source"),
      .value("from", "TIME", "missions that were open at any moment from this time"),
      .value("until", "TIME", "with --from: until this time (now)"),
      .why, .key,
    ],
    notes: [
      "Until the hold is released, no retention archives a mission that it covers, and no erasure touches a row of "
        + "that mission. A hold on a source covers the missions that its agent events led to, directly or through "
        + "reactions, the missions that they are about, and missions with a step that listed their results.",
      "A hold takes effect at once. It waits for a retention that has begun.",
    ],
    examples: [
      "hold place --mission \(Command.someID) --why 'case 2026/44'":
        "keeps one mission",
      "hold place --from 2026-10-01 --until 2026-12-31 --why 'audit of Q4'":
        "keeps all missions of a quarter",
    ]
  ) { (call) throws(OpsError) in
    let engine = try call.engine()
    let scope = try scope(call, engine)
    let id = try engine.placeHold(scope, why: try call.prose("why") ?? "")
    if case .source(let source) = scope, try !engine.knowsSource(source) {
      call.note(
        "warning: no agent event in the tables has the source \(source). The hold covers future ones; "
          + "if the name is wrong, release the hold")
    }
    call.print("hold \(id) is placed") { $0.string("hold_id", id.description) }
    return .fine
  }

  private static func scope(_ call: Invocation, _ engine: Engine) throws(OpsError) -> Hold.Scope {
    let (mission, source) = (try call.id(option: "mission", of: "mission"), call.text("source"))
    let from = try call.text("from").map(time)
    let named = [mission != nil, source != nil, from != nil].count { $0 }
    guard named == 1, from != nil || call.text("until") == nil else {
      throw .badInput(
        "name one of --mission, --source and --from", hint: "--until goes with --from")
    }
    if source == "" { throw .badInput("--source needs a source") }
    if let mission { return .mission(mission) }
    if let source { return .source(source) }
    let now = try engine.session.now()
    return .time(from: from ?? now, until: try call.text("until").map(time) ?? now)
  }

  private static func time(_ text: String) throws(OpsError) -> Instant {
    guard let time = Instant(text) else {
      throw .badInput("\(text) is not a time", hint: "like 2026-11-24 or 2026-11-24T14:05:00Z")
    }
    return time
  }

  static let list = Command(
    group: .keep, name: "hold list", summary: "list holds, the newest first",
    options: [.flag("all", "also released ones"), .limit],
    examples: ["hold list": "which missions are kept, and why"]
  ) { (call) throws(OpsError) in
    let holds = try call.session().list(.holds(all: call.flag("all"), limit: try call.limit()))
    call.print(
      holds, none: "no holds",
      [
        .whole("ID") { $0.id.description }, .words("COVERS") { $0.covers },
        .whole("PLACED (UTC)") { Shown.time($0.placedAt) }, .words("BY") { $0.placedBy },
        .words("STATE") { $0.releasedAt.map { "released \(Shown.time($0))" } ?? "in force" },
        .words("WHY") { Shown.brief($0.why, 80) },
      ])
    return .fine
  }

  static let release = Command(
    group: .keep, name: "hold release",
    summary: "release a hold: retention and erasures may take its missions again",
    arguments: [.id("the hold's")], options: [.why, .key],
    examples: [
      "hold release \(Command.someID) --why 'case closed'": "hold list shows ids"
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "hold")
    let isNew = try call.engine().releaseHold(id, why: try call.prose("why") ?? "")
    call.print("hold \(id) \(isNew ? "is released" : "was released before")") { out in
      out.string("hold_id", id.description)
      out.bool("released", isNew)
    }
    return .fine
  }
}

extension Hold {
  /// The missions that it covers, in words.
  var covers: String {
    if let missionID { return "mission \(missionID)" }
    if let source { return "source \(source)" }
    guard let fromTime, let untilTime else { return "nothing" }
    return "\(Shown.time(fromTime)) to \(Shown.time(untilTime))"
  }
}
