import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `hold place|list|release`.
enum HoldCommands {
  static let all = [place, list, release]

  static let place = Command(
    group: .keep, name: "hold place", summary: "keep missions from retention and erasures",
    options: [
      .init(name: "mission", value: "ID", help: "this mission"),
      .init(
        name: "source", value: "S",
        help: "those that hold a copy of what an agent event of this source said"),
      .init(name: "from", value: "TIME", help: "those that were open at any moment from then on"),
      .init(name: "until", value: "TIME", help: "and until then (now)"),
      .why, .key,
    ],
    notes: [
      "Until it is released, no retention run archives a mission that the hold covers, and no erasure touches a row "
        + "of it. A source covers the missions that its agent events led to, through however many reactions, those "
        + "that they are about, and those with a step that listed what came of them.",
      "A hold stays until it is released. It takes effect at once: a prune that has begun ends before it is "
        + "placed, and one that begins later sees it.",
    ],
    examples: [
      .init(
        line: "hold place --mission 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f --why 'case 2026/44'",
        meaning: "one mission"),
      .init(
        line: "hold place --from 2026-10-01 --until 2026-12-31 --why 'audit of Q4'",
        meaning: "all of a time"),
    ]
  ) { (call) throws(OpsError) in
    let engine = try call.engine()
    let scope = try scope(call, engine)
    let id = try engine.placeHold(scope, why: try call.prose("why") ?? "")
    if case .source(let source) = scope, try !engine.knowsSource(source) {
      call.note(
        "warning: no agent event in the tables has the source \(source): is it spelt right? "
          + "The hold covers those to come")
    }
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.string("hold_id", id.description)
      Output.standard.line(out.finish())
    } else {
      Output.standard.line("hold \(id) is placed")
    }
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
    if source == "" { throw .badInput("--source wants a source") }
    if let mission { return .mission(mission) }
    if let source { return .source(source) }
    let now = try engine.session.now()
    return .time(from: from ?? now, until: try call.text("until").map(time) ?? now)
  }

  private static func time(_ text: String) throws(OpsError) -> Instant {
    guard let time = Instant(text) else {
      throw .badInput("\(text) is no time", hint: "like 2026-11-24 or 2026-11-24T14:05:00Z")
    }
    return time
  }

  static let list = Command(
    group: .keep, name: "hold list", summary: "list holds, the newest first",
    options: [.init(name: "all", help: "also those that were released"), .limit],
    examples: [.init(line: "hold list", meaning: "what keeps missions from leaving")]
  ) { (call) throws(OpsError) in
    let holds = try call.session().list(.holds(all: call.flag("all"), limit: try call.limit()))
    printRows(
      holds, call, none: "no holds",
      { table, hold in
        table.add([
          hold.id.description, hold.covers, Shown.time(hold.placedAt), hold.placedBy,
          hold.releasedAt.map { "released \(Shown.time($0))" } ?? "in force",
          Shown.brief(hold.why, 80),
        ])
      },
      columns: [
        .init(title: "ID", canShrink: false), .init(title: "COVERS"),
        .init(title: "PLACED (UTC)", canShrink: false), .init(title: "BY"), .init(title: "STATE"),
        .init(title: "WHY"),
      ])
    return .fine
  }

  static let release = Command(
    group: .keep, name: "hold release", summary: "let a hold go",
    arguments: [.init(name: "ID", help: "the hold's id")], options: [.why, .key],
    examples: [
      .init(
        line: "hold release 01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f --why 'settled'",
        meaning: "the rule holds again")
    ]
  ) { (call) throws(OpsError) in
    let id = try call.id(0, of: "hold")
    let isNew = try call.engine().releaseHold(id, why: try call.prose("why") ?? "")
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.string("hold_id", id.description)
      out.bool("released", isNew)
      Output.standard.line(out.finish())
    } else {
      Output.standard.line(isNew ? "hold \(id) is released" : "hold \(id) was released before")
    }
    return .fine
  }
}

extension Hold {
  /// What it covers, in words.
  var covers: String {
    if let missionID { return "mission \(missionID)" }
    if let source { return "source \(source)" }
    guard let fromTime, let untilTime else { return "nothing" }
    return "\(Shown.time(fromTime)) to \(Shown.time(untilTime))"
  }
}
