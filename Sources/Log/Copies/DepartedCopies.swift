import JSON
import Ledger

/// What the part of the log that has left the database says of these rows.
struct DepartedCopies {
  private(set) var nouns: [StreamID: NounName] = [:]
  /// Those of which it has content that no erasure was about.
  private(set) var due: Set<StreamID> = []
  private(set) var commands: Set<StreamID> = []
  /// The missions of these rows.
  private(set) var missions: Set<StreamID> = []
  private var entry: Int64 = 0
  /// Changed in this entry.
  private var radar: Set<StreamID> = []
  /// Missions that failed in this entry, with the steps that failed them.
  private var failed: [StreamID: StreamID] = [:]

  mutating func take(
    _ event: EventLine, _ roots: inout [StreamID: NounName], _ others: inout Set<StreamID>,
    _ erased: [StreamID: Int64]
  ) {
    let parts = String(decoding: event.type, as: UTF8.self).split(separator: ".")
    guard parts.count == 2, let noun = NounName(rawValue: String(parts[0])) else { return }
    if event.entry != entry { (entry, radar, failed) = (event.entry, [], [:]) }
    if noun == .radar { radar.insert(event.stream) }
    let what = String(parts[1])
    for edge in edges(event, noun, what) {
      if let child = roots[edge.child], edge.leadsUp(from: child) {
        roots[edge.parent] = edge.noun
      }
      if others.contains(edge.parent) || roots[edge.parent] != nil { others.insert(edge.child) }
      if edge.noun == .mission, others.contains(edge.child) || roots[edge.child] != nil {
        missions.insert(edge.parent)
      }
    }
    guard others.contains(event.stream) || roots[event.stream] != nil else { return }
    note(event, noun, what, erased)
  }

  private mutating func note(
    _ event: EventLine, _ noun: NounName, _ what: String, _ erased: [StreamID: Int64]
  ) {
    nouns[event.stream] = noun
    if let command = event.command { commands.insert(command) }
    if event.salt != nil, what != "erased", event.entry > erased[event.stream] ?? 0 {
      due.insert(event.stream)
    }
  }

  /// One row came of another.
  private struct Edge {
    let parent: StreamID
    let noun: NounName
    let child: StreamID

    /// A mission's words came from its proposal, and that's from the agent event whose reaction led to it.
    func leadsUp(from child: NounName) -> Bool {
      switch (child, noun) {
      case (.mission, .proposal), (.proposal, .reaction), (.reaction, .agentEvent): true
      default: false
      }
    }
  }

  /// As `ledger.copies_of` has them.
  private mutating func edges(_ event: EventLine, _ noun: NounName, _ what: String) -> [Edge] {
    let byHand = ["inserted", "amended", "restored"].contains(what)
    var edges: [Edge] = []
    func add(_ parent: StreamID?, _ noun: NounName, _ child: StreamID?) {
      if let parent, let child { edges.append(Edge(parent: parent, noun: noun, child: child)) }
    }
    func named(_ name: String, in data: JSON) -> StreamID? {
      let value = data[name] ?? data["columns"]?[name] ?? data["changes"]?[name]?.second
      return value?.stringValue.flatMap { StreamID($0) }
    }
    let (own, data) = (event.stream, event.data.json ?? .null)
    switch noun {
    case .reaction where what == "queued" || byHand:
      add(named("event_id", in: data), .agentEvent, own)
    case .mission where what == "created" || byHand:
      add(named("proposal_id", in: data), .proposal, own)
    case .step where what == "created" || byHand:
      add(named("mission_id", in: data), .mission, own)
    case .run where what == "started" || byHand: add(named("step_id", in: data), .step, own)
    case .agentEvent where what == "reported" || byHand:
      add(named("mission_id", in: data), .mission, own)
      guard what == "reported" || what == "inserted" else { break }
      let type = (data["type"] ?? data["columns"]?["type"])?.stringValue ?? ""
      let said = event.content?.json?["data"]
      func id(_ name: String) -> StreamID? {
        said?[name]?.stringValue.flatMap { StreamID($0) }
      }
      if type.hasPrefix("proposal:") { add(id("proposal_id"), .proposal, own) }
      if type.hasPrefix("step:") { add(id("step_id"), .step, own) }
      // A failed mission's report has the error of the step that failed it.
      let mission = data["mission_id"]?.stringValue.flatMap { StreamID($0) }
      add(mission.flatMap { failed[$0] }, .step, own)
    case .mission where what == "failed":
      failed[own] = named("step_id", in: data)
    case .step where what == "succeeded":
      for read in data["reads"]?.arrayValue ?? [] {
        add(read.stringValue.flatMap { StreamID($0) }, .radar, own)
      }
      guard !radar.isEmpty else { break }
      let id = event.content?.json?["result"]?["id"]?.stringValue.flatMap { StreamID($0) }
      if let id, radar.contains(id) { add(own, .step, id) }
    default: break
    }
    if noun == .reaction, what != "queued" {
      let payload = data["columns"]?["payload"] ?? data["changes"]?["payload"]?.second
      let id = data["proposal_id"] ?? payload?["result"]?["r_proposal_id"]
      add(own, .reaction, id?.stringValue.flatMap { StreamID($0) })
    }
    return edges
  }
}

extension JSON {
  var second: JSON? {
    guard let elements = arrayValue, elements.count == 2 else { return nil }
    return elements[1]
  }
}

extension UnsafeRawBufferPointer {
  var json: JSON? { try? JSON(parsing: String(decoding: self, as: UTF8.self)) }
}

extension EventLine {
  /// Whether it says that an agent event has this source, or had it before a hand changed it.
  func hasSource(_ source: String) -> Bool {
    guard type.starts(with: Self.agentEvent), let said = content?.json?["data"] else {
      return false
    }
    return ([said] + (said.arrayValue ?? [])).contains { $0["source"]?.stringValue == source }
  }

  private static let agentEvent = Array("agent_event.".utf8)
}
